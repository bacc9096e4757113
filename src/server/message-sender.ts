import type { Clock, Timer } from '../base/clock.js';
import type { MemberId, Message } from '../raft/types.js';
import type { Transport } from './transport.js';

/** Time that news of a commit waits for entries that go the same way, in milliseconds. */
export const NEWS_DELAY_MS = 2;

/**
 * Hands messages of the consensus module to the transport: those of one turn to each member together.
 *
 * What tells a follower a commit index and nothing else waits a moment. While one write follows another the entries of the next
 * say the same, and a message of its own would wake the follower once more for each of them. No acknowledgement waits for it, only
 * what is read at followers.
 */
export class MessageSender {
  readonly #clock: Clock;
  readonly #transport: Pick<Transport, 'send'>;
  readonly #news = new Map<MemberId, Message>();
  #timer: Timer | null = null;

  constructor(clock: Clock, transport: Pick<Transport, 'send'>) {
    this.#clock = clock;
    this.#transport = transport;
  }

  send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const byMember = new Map<MemberId, Message[]>();
    for (const message of messages) {
      if (isNews(message)) {
        this.#hold(message);
        continue;
      }
      // Later than the news that waits, so it tells no lesser commit index.
      if (message.type === 'AppendEntries') this.#news.delete(message.to);
      const list = byMember.get(message.to);
      if (list === undefined) byMember.set(message.to, [message]);
      else list.push(message);
    }
    for (const [member, list] of byMember) this.#transport.send(member, list);
    if (this.#news.size === 0) this.stop();
  }

  /** What waits goes out now. */
  flush(): void {
    const due = [...this.#news];
    this.stop();
    for (const [member, news] of due) this.#transport.send(member, [news]);
  }

  /** What waits is dropped. */
  stop(): void {
    this.#news.clear();
    this.#timer?.cancel();
    this.#timer = null;
  }

  #hold(message: Message): void {
    this.#news.set(message.to, message);
    this.#timer ??= this.#clock.setTimer(NEWS_DELAY_MS, () => this.flush());
  }
}

/** Tells a follower the commit index and nothing else. */
function isNews(message: Message): boolean {
  return message.type === 'AppendEntries' && message.entries.length === 0;
}
