import { connect } from 'node:net';
import { BalsaError } from '../../src/base/errors.js';

export type RedisCommand = readonly (string | Buffer)[];

const TIMEOUT_MS = 30_000;
const END_OF_LINE = '\r\n';

/**
 * Sends commands to a Redis on this machine, all at once.
 *
 * @returns an answer for each
 * @throws BalsaError `UNREACHABLE`, `TIMEOUT`; `INTERNAL` when one of them is refused
 */
export function askRedis(
  port: number,
  commands: readonly RedisCommand[],
  timeoutMs = TIMEOUT_MS,
): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const answers = new RedisAnswers(commands.length);
    const end = (settle: () => void): void => {
      clearTimeout(late);
      socket.destroy();
      settle();
    };
    const fail = (code: 'UNREACHABLE' | 'TIMEOUT', what: string): void =>
      end(() => reject(new BalsaError(code, `Redis on port ${port} ${what}`)));
    const late = setTimeout(() => fail('TIMEOUT', `did not answer in ${timeoutMs} ms`), timeoutMs);
    socket.on('connect', () => socket.write(Buffer.concat(commands.map(encodeCommand))));
    socket.on('data', (chunk) => {
      try {
        const all = answers.take(chunk);
        if (all !== null) end(() => resolve(all));
      } catch (error) {
        end(() => reject(error));
      }
    });
    socket.on('error', ({ message }) => fail('UNREACHABLE', `does not answer: ${message}`));
    socket.on('close', () => fail('UNREACHABLE', 'has closed the connection'));
  });
}

function encodeCommand(words: RedisCommand): Buffer {
  const parts = words.flatMap((word) => {
    const bytes = Buffer.from(word);
    return [Buffer.from(`$${bytes.length}${END_OF_LINE}`), bytes, Buffer.from(END_OF_LINE)];
  });
  return Buffer.concat([Buffer.from(`*${words.length}${END_OF_LINE}`), ...parts]);
}

/** Answers as they come, in pieces: lines, numbers and strings with their length; no lists. */
export class RedisAnswers {
  readonly #count: number;
  readonly #answers: string[] = [];
  #rest = Buffer.alloc(0);

  constructor(count: number) {
    this.#count = count;
  }

  /**
   * @returns all answers when they are there, `null` before
   * @throws BalsaError `INTERNAL` for an error among them, and for what is no answer
   */
  take(chunk: Buffer): string[] | null {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#answers.length < this.#count) {
      const end = this.#next();
      if (end === null) return null;
      this.#rest = this.#rest.subarray(end);
    }
    return this.#answers;
  }

  /** @returns where it ends; `null`: it is not all there */
  #next(): number | null {
    const lineEnd = this.#rest.indexOf(END_OF_LINE);
    if (lineEnd < 0) return null;
    const kind = String.fromCharCode(this.#rest[0] ?? 0);
    const line = this.#rest.toString('utf8', 1, lineEnd);
    const from = lineEnd + END_OF_LINE.length;
    if (kind === '+' || kind === ':') {
      this.#answers.push(line);
      return from;
    }
    if (kind !== '$') throw new BalsaError('INTERNAL', `Redis answered: ${kind}${line}`);
    const to = from + Number(line);
    if (this.#rest.length < to + END_OF_LINE.length) return null;
    this.#answers.push(this.#rest.toString('utf8', from, to));
    return to + END_OF_LINE.length;
  }
}
