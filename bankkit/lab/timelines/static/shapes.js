/* The shapes of the lanes and the legend: arrow, cross, and a mark for each kind of fault. */

/* Draws an arrow in the brush's colour and width. */
export function arrow(brush, x0, y0, x1, y1, size) {
  const turn = Math.atan2(y1 - y0, x1 - x0);
  brush.beginPath();
  brush.moveTo(x0, y0);
  brush.lineTo(x1 - Math.cos(turn) * size, y1 - Math.sin(turn) * size);
  brush.stroke();
  brush.beginPath();
  brush.moveTo(x1, y1);
  for (const side of [-0.42, 0.42]) {
    brush.lineTo(x1 - Math.cos(turn + side) * size * 1.6, y1 - Math.sin(turn + side) * size * 1.6);
  }
  brush.fill();
}

export function line(brush, x0, y0, x1, y1) {
  brush.beginPath();
  brush.moveTo(x0, y0);
  brush.lineTo(x1, y1);
  brush.stroke();
}

export function dot(brush, x, y, radius) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, 7);
}

/* Draws a cross with an edge that is visible on every background. */
export function cross(brush, x, y, size, colour) {
  for (const [edge, width] of [["black", 5.5], ["white", 4], [colour, 2.5]]) {
    brush.strokeStyle = edge;
    brush.lineWidth = (width * size) / 5;
    strokeCross(brush, x, y, size);
  }
}

function strokeCross(brush, x, y, size) {
  brush.beginPath();
  for (const side of [-1, 1]) {
    brush.moveTo(x - size, y - side * size);
    brush.lineTo(x + size, y + side * size);
  }
  brush.stroke();
}

const OUTLINES = { // in units of the size
  paused: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  expired: [[0, -1.3], [0.8, 0], [0, 1.3], [-0.8, 0]],
  fenced: [[-0.6, -1], [0.6, -1], [1.2, 0], [0.6, 1], [-0.6, 1], [-1.2, 0]],
  resumed: [[-0.9, -1.1], [1.2, 0], [-0.9, 1.1]],
  started: [[-0.9, -1.1], [1.2, 0], [-0.9, 1.1]],
};

/* Draws the mark of a fault; each kind has its own shape. */
export function faultMark(brush, theme, kind, x, y, size) {
  brush.strokeStyle = theme.ink;
  brush.fillStyle = theme.paper;
  if (kind === "killed") {
    brush.lineWidth = size / 2;
    strokeCross(brush, x, y, size);
  } else if (kind === "unknown") {
    questionMark(brush, theme, x, y, size);
  } else {
    if (kind === "fenced") brush.fillStyle = theme.colours.fenced;
    if (kind === "resumed" || kind === "started") brush.fillStyle = theme.wake;
    brush.lineWidth = 1.2;
    brush.beginPath();
    for (const [dx, dy] of OUTLINES[kind]) brush.lineTo(x + dx * size, y + dy * size);
    brush.closePath();
    brush.fill();
    brush.stroke();
  }
}

function questionMark(brush, theme, x, y, size) {
  brush.font = `bold ${theme.font(Math.round(size * 2.6))}`;
  brush.textAlign = "center";
  brush.lineWidth = 3;
  brush.strokeStyle = theme.paper;
  brush.strokeText("?", x, y);
  brush.fillStyle = theme.ink;
  brush.fillText("?", x, y);
  brush.textAlign = "left";
  brush.font = theme.font(12);
}
