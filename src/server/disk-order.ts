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
    else this.#behindLast.messages.push(...messages);
  }

  /** Calls back when all writes so far are durable. */
  whenDurable(callback: () => void): void {
    if (this.#behindLast === null) callback();
    else this.#behindLast.callbacks.push(callback);
  }
}
