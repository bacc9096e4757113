import type { BalsaError } from '../../base/errors.js';
import type { LogLine } from '../../client/client.js';
import type { Context } from '../context.js';
import type { Output } from '../output.js';
import { oneLine } from '../printable.js';
import { isOf, linesSince } from './log-lines.js';
import { type ReplicaLink, Replicas } from './replicas.js';

/** A line, and the replica that ran the call. */
export interface PlacedLine extends LogLine {
  readonly replica: string;
}

/** Rounds of questions between two looks who is a member. */
const LOOK_ROUNDS = 20;
/** Rounds in which a replica that does not answer is left alone. */
const PAUSE_ROUNDS = 5;

interface Source {
  readonly before: readonly LogLine[];
  /** A question is under way. */
  readonly isAsked: boolean;
  readonly error: BalsaError | null;
  readonly pausedUntil: number;
}

const NEW: Source = { before: [], isAsked: false, error: null, pausedUntil: 0 };

/** What procedures log, at all replicas, from what they still keep on. */
export class LogTail implements AsyncDisposable {
  readonly #output: Output;
  readonly #reference: string | undefined;
  readonly #replicas: Replicas;
  readonly #signal: AbortSignal;
  readonly #sources = new Map<ReplicaLink, Source>();
  #lines: PlacedLine[] = [];
  #round = 0;
  #isLooking = false;

  /** @param reference of this procedure alone */
  constructor(context: Context, reference?: string) {
    this.#output = context.output;
    this.#signal = context.signal;
    this.#reference = reference;
    this.#replicas = new Replicas(context);
  }

  /** @throws BalsaError `UNREACHABLE`: no replica answers */
  async open(): Promise<void> {
    await this.#replicas.open();
  }

  /** What is there already. */
  async first(): Promise<{
    readonly lines: readonly PlacedLine[];
    readonly failures: readonly string[];
  }> {
    const failures: string[] = [];
    const answers = await this.#replicas.askAll((link) => this.#ask(link));
    for (const one of answers) if ('error' in one) failures.push(one.link.failureText(one.error));
    this.#signal.throwIfAborted();
    return { lines: this.take(), failures };
  }

  /** Asks all replicas that are not being asked; their answers are there for {@link take} when they have come. */
  ask(): void {
    this.#round += 1;
    if (this.#round % LOOK_ROUNDS === 0) this.#look();
    void this.#replicas.askAll(async (link) => {
      const { isAsked, pausedUntil } = this.#sourceOf(link);
      if (isAsked || pausedUntil > this.#round) return;
      const { error: errorBefore } = this.#sourceOf(link);
      try {
        await this.#ask(link);
        if (errorBefore !== null) this.#output.say(`${link.name} answers again`);
      } catch {
        const { error } = this.#sourceOf(link);
        if (this.#signal.aborted || error === null) return;
        this.#set(link, { pausedUntil: this.#round + PAUSE_ROUNDS });
        if (errorBefore === null) tellFailures(this.#output, [link.failureText(error)]);
      }
    });
  }

  /** What has come since it was called last, in the order of time. */
  take(): readonly PlacedLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines.sort((a, b) => a.timeMs - b.timeMs);
  }

  async close(): Promise<void> {
    await this.#replicas.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #ask(link: ReplicaLink): Promise<void> {
    this.#set(link, { isAsked: true });
    try {
      const now = await link.ask((client, limits) => client.procedures.logs(limits));
      const { lines, mayLack } = linesSince(this.#sourceOf(link).before, now);
      this.#set(link, { before: now, error: null });
      if (mayLack)
        this.#output.say(`${link.name} has logged more than it keeps: lines are missing`);
      const wanted = lines.filter(
        ({ procedure }) => this.#reference === undefined || isOf(procedure, this.#reference),
      );
      for (const line of wanted) this.#lines.push({ ...line, replica: link.name });
    } catch (error) {
      this.#set(link, { error: error as BalsaError });
      throw error;
    } finally {
      this.#set(link, { isAsked: false });
    }
  }

  #look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const done = (): void => {
      this.#isLooking = false;
    };
    // Whoever does not answer is told when it is asked for its lines.
    this.#replicas.look().then(done, done);
  }

  #sourceOf(link: ReplicaLink): Source {
    return this.#sources.get(link) ?? NEW;
  }

  #set(link: ReplicaLink, change: Partial<Source>): void {
    this.#sources.set(link, { ...this.#sourceOf(link), ...change });
  }
}

export function tellFailures(output: Output, failures: readonly string[]): void {
  for (const failure of failures) output.say(output.styleTalk('yellow', failure));
}

/** @param more fields of their objects with `-o json` */
export async function printLines(
  output: Output,
  lines: readonly PlacedLine[],
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  for (const line of lines) {
    const { timeMs, replica, procedure, line: text, isError } = line;
    const shown = oneLine(text);
    if (output.format === 'json') {
      await output.json({ ...more, timeMs, replica, procedure, line: text, isError });
    } else if (output.format === 'raw') {
      const kind = isError ? 'error' : 'log';
      const cells = [new Date(timeMs).toISOString(), replica, procedure, kind, shown];
      await output.line(cells.join('\t'));
    } else {
      const where = output.style('dim', `${clockText(timeMs)}  ${replica}`);
      const said = isError ? output.style('red', shown) : shown;
      await output.line(`${where}  ${output.style('bold', procedure)}  ${said}`);
    }
  }
}

/** `09:30:01.250`, by the clock of this machine. */
export function clockText(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${time}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
