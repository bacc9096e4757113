import type { DiskWrite, Message } from '../raft/types.js';
import type { LogStore } from '../storage/log-store.js';

export interface DiskOrderOptions {
  readonly logStore: LogStore;
  readonly isStopped: () => boolean;
  readonly send: (messages: readonly Message[]) => void;
  readonly onPersisted: (sequence: number) => void;
  readonly onFailure: (error: unknown) => void;
}

/** Keeps back what may only be sent or begun when the writes before it are durable. */
export class DiskOrder {
  readonly #options: DiskOrderOptions;
  /** What waits for the last write under way; `null` when none is under way. */
  #behindLast: { readonly messages: Message[]; readonly callbacks: (() => void)[] } | null = null;

  constructor(options: DiskOrderOptions) {
    this.#options = options;
  }

  /** Hands a write to the log, and sends `messages` when it is durable. */
  persist(write: DiskWrite, messages: readonly Message[]): void {
    const { logStore, isStopped, send, onPersisted, onFailure } = this.#options;
    const behind = { messages: [...messages], callbacks: [] as (() => void)[] };
    this.#behindLast = behind;
    logStore.append(write, (error) => {
      if (isStopped()) return;
      if (error !== null) {
        onFailure(error);
        return;
      }
      if (this.#behindLast === behind) this.#behindLast = null;
      send(behind.messages);
      onPersisted(write.sequence);
      for (const callback of behind.callbacks) callback();
    });
  }

  /** Promises without a write of their own: they lean on the last one under way, if there is one. */
  sendBehind(messages: readonly Message[]): void {
    if (this.#behindLast === null) this.#options.send(messages);
    else for (const message of messages) addBehind(this.#behindLast.messages, message);
  }

  /** Calls back when all writes so far are durable. */
  whenDurable(callback: () => void): void {
    if (this.#behindLast === null) callback();
    else this.#behindLast.callbacks.push(callback);
  }
}

/** A leader asks again and again while a disk hangs: of answers that say the same or less than a later one, that one is kept. */
function addBehind(waiting: Message[], message: Message): void {
  const at = waiting.findIndex((earlier) => isSaidBy(earlier, message));
  if (at >= 0) waiting.splice(at, 1);
  waiting.push(message);
}

/** What waits longer may as well be lost: the network may lose it, too. */
function isSaidBy(earlier: Message, later: Message): boolean {
  if (earlier.to !== later.to || earlier.term !== later.term) return false;
  if (earlier.type === 'HeartbeatReply') return later.type === 'HeartbeatReply';
  if (earlier.type !== 'AppendEntriesReply' || later.type !== 'AppendEntriesReply') return false;
  const { result: before } = earlier;
  const { result: now } = later;
  if (!before.success || !now.success) return before.success === now.success;
  return before.matchIndex <= now.matchIndex;
}
