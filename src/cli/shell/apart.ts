import type { CliStream } from '../io.js';

const NEWLINE = 0x0a;

/** Output of several commands, one after the other: what one leaves without a line end does not run into the next. */
export class OutputApart {
  readonly stream: CliStream;
  #isOpenLine = false;
  #isNext = false;

  constructor(stream: CliStream) {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    this.stream = new Proxy(stream, {
      get: (target, name) => {
        if (name === 'write') {
          return (data: string | Uint8Array, ...more: unknown[]) => {
            this.#before(data, write);
            return write(data, ...more);
          };
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** Another command begins. */
  next(): void {
    this.#isNext = true;
  }

  #before(data: string | Uint8Array, write: (text: string) => boolean): void {
    if (data.length === 0) return;
    if (this.#isNext && this.#isOpenLine) write('\n');
    this.#isNext = false;
    this.#isOpenLine = Buffer.from(data.slice(-1)).at(-1) !== NEWLINE;
  }
}
