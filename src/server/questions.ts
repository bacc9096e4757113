import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { ClientAnswer, ReadLevel } from '../rpc/protocol.js';
import type { Replica } from './replica.js';
import { readError } from './waiting-reads.js';

/** Ranges and other questions of one stream that are under way at the same time. A range holds an iterator and a page. */
const QUESTIONS_PER_STREAM_MAX = 512;

/** Who has not come to an answer for so long, in milliseconds, has had its turn: it is answered all the same. */
const TURN_MS_MAX = 2000;

/** There is a state that can be read: a later one than that for which the level was kept. */
const ANY = { consistency: 'any', bound: 0 } as const;

export interface Question {
  readonly replica: Replica;
  readonly request: ReadLevel & { readonly id: number };
  /** From the state as it is then: its level is kept. */
  readonly toAnswer: () => Promise<ClientAnswer>;
}

export interface QuestionsOptions {
  readonly clock: Pick<Clock, 'defer' | 'setTimer'>;
  /** Why no answer may be made just now; `null`: there is room for one. */
  readonly lackOfRoom: () => BalsaError | null;
  readonly answer: (answer: ClientAnswer) => void;
  readonly refuse: (id: number, error: BalsaError) => void;
}

/**
 * What one client stream asks that is answered with a list or with much at once: leases, the store, procedures, jobs. Each waits for
 * its level, as many together as may be under way, and then for its turn. One at a time is answered, when there is room for it, so
 * that no answer is made before those ahead of it are counted; and behind each of them others have their turn.
 */
export class Questions {
  readonly #options: QuestionsOptions;
  #underWay = 0;
  /** Their level was kept, and another one was being answered. */
  #waiting: Question[] = [];
  #isAnswering = false;
  #isClosed = false;

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  /**
   * One more is under way, until {@link end}.
   * @throws BalsaError `OVERLOADED`
   */
  begin(): void {
    if (this.#underWay >= QUESTIONS_PER_STREAM_MAX) {
      throw tooMuch(
        `at most ${QUESTIONS_PER_STREAM_MAX} ranges and other questions of one stream are under way at the same time`,
      );
    }
    this.#underWay += 1;
  }

  end(): void {
    this.#underWay -= 1;
  }

  /** @throws BalsaError `OVERLOADED` */
  ask(question: Question): void {
    this.begin();
    question.replica.read(question.request, (error) => this.#readable(question, error));
  }

  /** Nobody waits for answers any more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  // -------------------------------------------------------------------------------------------

  #readable(question: Question, error: BalsaError | null): void {
    if (this.#isClosed) return;
    if (error !== null) this.#refuse(question, error);
    else if (this.#isAnswering) this.#waiting.push(question);
    else void this.#answer(question);
  }

  async #answer(question: Question): Promise<void> {
    const { clock } = this.#options;
    this.#isAnswering = true;
    const goOn = once(() => this.#next());
    // A disk may hang.
    const turn = clock.setTimer(TURN_MS_MAX, goOn);
    const answered = await this.#made(question);
    turn.cancel();
    clock.defer(goOn);
    if (answered instanceof BalsaError) {
      this.#refuse(question, answered);
      return;
    }
    this.end();
    this.#options.answer(answered);
  }

  async #made({ replica, toAnswer }: Question): Promise<ClientAnswer | BalsaError> {
    const { machine } = replica;
    try {
      return this.#options.lackOfRoom() ?? (await toAnswer());
    } catch (cause) {
      return readError(cause, machine, replica);
    }
  }

  /** Those that had to wait: a bound may be exceeded meanwhile, or the state be switched. */
  #next(): void {
    this.#isAnswering = false;
    while (!this.#isAnswering && !this.#isClosed) {
      const question = this.#waiting.shift();
      if (question === undefined) return;
      const { replica, request } = question;
      const level = request.consistency === 'bounded' ? request : ANY;
      replica.read(level, (error) => this.#readable(question, error));
    }
  }

  #refuse({ request }: Question, error: BalsaError): void {
    this.end();
    this.#options.refuse(request.id, error);
  }
}

/** Calls back the first time. */
function once(callback: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) callback();
    isDone = true;
  };
}

/** More than one stream may have under way, or waiting. */
export function tooMuch(what: string): BalsaError {
  return new BalsaError('OVERLOADED', what, { details: { retryAfterMs: 50 } });
}
