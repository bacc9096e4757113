import type { Interface } from 'node:readline/promises';
import type { CliInput, CliStream } from '../io.js';
import { clip, textWidth } from '../text-width.js';

/** Shows behind the cursor, dimmed, what may still be typed. */
export class Hints {
  readonly #rl: Interface;
  readonly #output: CliStream;
  readonly #hintFor: (line: string) => string;
  readonly #stop: () => void;
  #shown = false;
  /** A command runs: its output is not to be touched. */
  paused = false;

  constructor(
    rl: Interface,
    streams: { readonly input: CliInput; readonly output: CliStream },
    hintFor: (line: string) => string,
  ) {
    this.#rl = rl;
    this.#output = streams.output;
    this.#hintFor = hintFor;
    const clear = (): void => this.#clear();
    const draw = (): void => void setImmediate(() => this.#draw());
    // Before readline writes anything, and behind it.
    streams.input.prependListener('keypress', clear);
    streams.input.on('keypress', draw);
    this.#stop = () => {
      streams.input.off('keypress', clear);
      streams.input.off('keypress', draw);
    };
  }

  close(): void {
    this.#stop();
    this.paused = true;
  }

  #clear(): void {
    if (this.#shown) this.#output.write('\u001b[0K');
    this.#shown = false;
  }

  #draw(): void {
    if (this.paused || this.#shown || this.#rl.cursor !== this.#rl.line.length) return;
    const columns = this.#output.columns || 80;
    const room = columns - this.#rl.getCursorPos().cols - 1;
    const text = this.#hintFor(this.#rl.line);
    if (text === '' || room < 4) return;
    const shown = clip(text, room);
    this.#output.write(`\u001b[2m${shown}\u001b[22m\u001b[${textWidth(shown)}D`);
    this.#shown = true;
  }
}
