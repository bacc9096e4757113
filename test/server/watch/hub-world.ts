import { toMapKey } from '../../../src/base/bytes.js';
import { LIMITS, type Limits } from '../../../src/base/limits.js';
import type { ClientAnswer, WatchRequest } from '../../../src/rpc/protocol.js';
import { WatchHub } from '../../../src/server/watch-hub.js';
import type { Watcher, WatchSink } from '../../../src/server/watcher.js';
import { VirtualClock } from '../../client/support/virtual-clock.js';
import { FakeSource, type Writes } from './fake-source.js';

/** A client stream that keeps what it is sent, and takes it when the test says so. */
export class TestSink implements WatchSink {
  readonly answers: ClientAnswer[] = [];
  /** It reads at once. */
  reads = true;
  waitingBytes = 0;
  waitingBytesSeen = 0;

  send(answer: ClientAnswer): void {
    this.answers.push(answer);
    if (!this.reads) this.waitingBytes += bytesOf(answer);
    this.waitingBytesSeen = Math.max(this.waitingBytesSeen, this.waitingBytes);
  }

  drain(): void {
    this.waitingBytes = 0;
  }

  /** What one watch was told, in short: `1 put a=x`. */
  told(id = 1): string[] {
    const said: string[] = [];
    for (const answer of this.answers) {
      const isFor = answer.type === 'watch-progress' && answer.alsoFor.includes(id);
      if (answer.id === id || isFor) said.push(...describe(answer));
    }
    return said;
  }
}

export function describe(answer: ClientAnswer): string[] {
  switch (answer.type) {
    case 'watch-events':
      return answer.events.map(({ type, item, previous }) => {
        const value = type === 'put' ? `=${Buffer.from(item.value)}` : '';
        const before = previous === null ? '' : ` (was ${Buffer.from(previous.value)})`;
        return `${item.modRevision} ${type} ${Buffer.from(item.key)}${value}${before}`;
      });
    case 'watch-progress':
      return [`progress ${answer.revision}`];
    case 'watch-lagging':
      return [`lagging ${answer.revision}`];
    case 'error':
      return [`error ${answer.error.code}`];
    default:
      return [answer.type];
  }
}

function bytesOf(answer: ClientAnswer): number {
  if (answer.type !== 'watch-events') return 10;
  return answer.events.reduce((sum, { item }) => sum + item.key.length + item.value.length, 64);
}

export function request(change: Partial<WatchRequest> = {}): WatchRequest {
  return {
    ...{ type: 'watch', id: 1, consistency: 'any', bound: 0, from: Buffer.from('a') },
    ...{ to: null, startRevision: null, withPrevious: false, noPuts: false, noDeletes: false },
    ...change,
  };
}

/** A request for one key. */
export function keyRequest(key: string, change: Partial<WatchRequest> = {}): WatchRequest {
  return request({ from: Buffer.from(key), to: Buffer.from(`${key}\0`), ...change });
}

/** What is put off to a later turn of the event loop waits for the test, when that says so. */
export class TurnClock extends VirtualClock {
  isHeld = false;
  #held: (() => void)[] = [];

  override defer(callback: () => void): void {
    if (this.isHeld) this.#held.push(callback);
    else super.defer(callback);
  }

  /** Callbacks that wait for a turn. */
  get held(): number {
    return this.#held.length;
  }

  /** The next turn. */
  turn(): void {
    const held = this.#held;
    this.#held = [];
    for (const callback of held) callback();
  }

  /** From now on turns come by themselves. */
  free(): void {
    this.isHeld = false;
    this.turn();
  }
}

/** A hub over a fake state, in virtual time. */
export class HubWorld {
  readonly clock = new TurnClock();
  source = new FakeSource();
  readonly failures: unknown[] = [];
  readonly limits: Limits;
  readonly hub: WatchHub;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...LIMITS, ...limits };
    const { clock } = this;
    const onFailure = (error: unknown): void => void this.failures.push(error);
    this.hub = new WatchHub({ clock, limits: this.limits, onFailure }, this.source);
  }

  watch(change: Partial<WatchRequest> = {}, sink = new TestSink()): TestSink {
    this.hub.watch(request(change), sink);
    return sink;
  }

  add(asked: WatchRequest, sink: WatchSink): Watcher {
    return this.hub.watch(asked, sink);
  }

  /** One turn in which these revisions are applied. */
  turn(...revisions: readonly Writes[]): void {
    for (const writes of revisions) this.source.write(writes);
    this.hub.flush();
  }

  /** All that happens without time passing. */
  async settle(): Promise<void> {
    await this.clock.settle();
    if (this.failures.length > 0) throw this.failures[0];
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  /** A snapshot takes the place of the state: one in which these have been written, too. */
  install(...revisions: readonly Writes[]): void {
    this.hub.pause();
    const next = this.source.copy();
    for (const writes of revisions) next.write(writes);
    this.source = next;
    this.hub.follow(next);
  }

  /** What a watch of this range must have been told, from a revision on. */
  expected(asked: WatchRequest, fromRevision: number): string[] {
    const from = toMapKey(asked.from);
    const to = asked.to === null ? null : toMapKey(asked.to);
    return this.source.events
      .filter(({ revision, key, type }) => {
        const at = toMapKey(key);
        const unwanted = type === 'put' ? asked.noPuts : asked.noDeletes;
        return revision >= fromRevision && at >= from && (to === null || at < to) && !unwanted;
      })
      .map(({ revision, type, key, value }) => {
        const is = type === 'put' ? `=${Buffer.from(value)}` : '';
        return `${revision} ${type} ${Buffer.from(key)}${is}`;
      });
  }
}
