/**
 * Memory that a worker and the thread that it asks have in common. The worker stands still until the answer is
 * there: to a procedure reading a key is an ordinary call. An answer that is too long comes in pieces.
 */
const HEAD_BYTES = 16;
const PIECE_BYTES = 256 * 1024;

const STATE = 0;
const TOTAL = 1;
const PIECE = 2;
/** Which call is under way, of a group, from 1 on; negative while its code is being loaded. */
const CALL = 3;
/** None is: what was sent is taken in, or looked through for what to ask for ahead. */
const TAKING_IN = 0;
/** The code of the first one. */
const FIRST_LOADING = -1;
const WAITING = 0;
const ANSWERED = 1;

export function newSharedAnswer(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + PIECE_BYTES);
}

/** The side that answers. */
export class AnswerWriter {
  readonly #head: Int32Array;
  readonly #bytes: Uint8Array;
  #rest: Uint8Array = new Uint8Array();

  constructor(shared: SharedArrayBuffer) {
    this.#head = new Int32Array(shared, 0, HEAD_BYTES / 4);
    this.#bytes = new Uint8Array(shared, HEAD_BYTES);
  }

  /** Calls are about to be sent. */
  reset(): void {
    Atomics.store(this.#head, CALL, TAKING_IN);
  }

  /** No call is under way, and no code is being loaded. */
  get isTakingIn(): boolean {
    return this.step === TAKING_IN;
  }

  /** Nothing is known of any call that was begun: none was, or the interpreter is made anew between two of them. */
  get isUnbegun(): boolean {
    return this.isTakingIn || this.step === FIRST_LOADING;
  }

  /** Another number each time that another call is begun, or the code of one begins or ends to be loaded. */
  get step(): number {
    return Atomics.load(this.#head, CALL);
  }

  /** The code of a call is being loaded. */
  get isLoading(): boolean {
    return this.step < 0;
  }

  /** Which call is under way, or has its code loaded; from 0. None: the first one is to come. */
  get call(): number {
    return Math.max(Math.abs(this.step), 1) - 1;
  }

  write(answer: Uint8Array): void {
    this.#rest = answer;
    Atomics.store(this.#head, TOTAL, answer.byteLength);
    this.goOn();
  }

  /** The next piece. */
  goOn(): void {
    const piece = this.#rest.subarray(0, PIECE_BYTES);
    this.#rest = this.#rest.subarray(piece.byteLength);
    this.#bytes.set(piece);
    Atomics.store(this.#head, PIECE, piece.byteLength);
    Atomics.store(this.#head, STATE, ANSWERED);
    Atomics.notify(this.#head, STATE);
  }
}

/** The side that asks, in a worker. */
export class AnswerReader {
  readonly #head: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(shared: SharedArrayBuffer) {
    this.#head = new Int32Array(shared, 0, HEAD_BYTES / 4);
    this.#bytes = new Uint8Array(shared, HEAD_BYTES);
  }

  /** The code of the n-th call is about to be loaded, from 0. */
  load(n: number): void {
    Atomics.store(this.#head, CALL, -(n + 1));
  }

  /** The code of a call is there. */
  loaded(): void {
    Atomics.store(this.#head, CALL, TAKING_IN);
  }

  /** The n-th call is begun, from 0. */
  begin(n: number): void {
    Atomics.store(this.#head, CALL, n + 1);
  }

  /** @param ask sends the question; `goOn`: asks for the next piece of the answer */
  read(ask: () => void, goOn: () => void): Buffer {
    const pieces = [this.#await(ask)];
    const total = Atomics.load(this.#head, TOTAL);
    let length = pieces[0]?.byteLength ?? 0;
    while (length < total) {
      const piece = this.#await(goOn);
      pieces.push(piece);
      length += piece.byteLength;
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  /** Whoever is to answer ends this thread when it will not. */
  #await(send: () => void): Buffer {
    Atomics.store(this.#head, STATE, WAITING);
    send();
    Atomics.wait(this.#head, STATE, WAITING);
    return Buffer.from(this.#bytes.subarray(0, Atomics.load(this.#head, PIECE)));
  }
}
