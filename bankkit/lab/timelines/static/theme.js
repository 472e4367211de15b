/* The colours, the font and the hatches: from the theme of the page and from Python's palette. */

export const FAINT = 0.22; // opacity of things that have not happened yet

export class Theme {
  constructor(colours) {
    this.colours = colours;
  }

  /* Reads the font and colours that the page's theme gives a node. Hatches belong to one brush. */
  read(node, brush) {
    const style = getComputedStyle(node);
    this.ink = style.color;
    this.paper = style.backgroundColor;
    this.family = style.fontFamily;
    this.isDark = isDark(this.paper);
    this.hatch = pattern(brush, this.ink, (tile) => slant(tile, 6, 0));
    this.crosses = pattern(brush, this.colours.ink, (tile) => {
      slant(tile, 6, 0);
      slant(tile, 0, 6);
    });
    this.stripes = pattern(brush, this.ink, (tile) => {
      tile.moveTo(3, 0);
      tile.lineTo(3, 6);
    });
    this.dots = pattern(brush, this.ink, (tile) => {
      tile.moveTo(3, 2);
      tile.lineTo(3, 4);
    });
  }

  font(size) {
    return `${size}px ${this.family}`;
  }

  get wake() {
    return this.isDark ? this.colours.wakeOnDark : this.colours.wake;
  }

  /* The fills of each kind of bar, in layers from below. */
  looks() {
    const { reading, writing } = this.colours;
    return [[this.hatch], [reading], [writing], [writing, this.crosses], [this.dots]];
  }
}

/* Whether a colour, in the form that getComputedStyle gives, is nearer to black than to white. */
export function isDark(colour) {
  const [red, green, blue] = colour.match(/[\d.]+/g).map(Number);
  return 0.3 * red + 0.59 * green + 0.11 * blue < 128;
}

function pattern(brush, colour, draw) {
  const tile = Object.assign(document.createElement("canvas"), { width: 6, height: 6 });
  const tileBrush = tile.getContext("2d");
  tileBrush.strokeStyle = colour;
  tileBrush.globalAlpha = 0.75;
  tileBrush.lineWidth = 1;
  tileBrush.beginPath();
  draw(tileBrush);
  tileBrush.stroke();
  return brush.createPattern(tile, "repeat");
}

/* Draws slanted lines from one height to another, which meet those of the neighbouring tiles. */
function slant(brush, from, to) {
  for (const off of [-6, 0, 6]) {
    brush.moveTo(off, from);
    brush.lineTo(off + 6, to);
  }
}
