const COLOURS = 4; // in stepper.css

/* The class of a thread's colour, by its number from 0. */
export const threadColour = (number) => `bk-thread-${number % COLOURS}`;
