import type { KeyValue } from '../../../src/base/operation.js';
import type { Watch, WatchBatch, WatchEvent } from '../../../src/client/watch.js';
import type {
  AnswerMeta,
  ClientAnswer,
  ClientRequest,
  WatchRequest,
  WatchEvent as WireEvent,
} from '../../../src/rpc/protocol.js';
import { errorAnswer, type FakeStream, refusal } from './fake-cluster.js';
import type { Harness } from './harness.js';

const META: AnswerMeta = {
  ...{ term: 1, revision: 10, appliedIndex: 10 },
  ...{ stalenessMs: null, side: 'unknown' },
};

export function put(revision: number, key: string, value: string, previous?: KeyValue): WireEvent {
  const counts = { createRevision: revision, modRevision: revision, version: 1, lease: 0 };
  const item = { key: Buffer.from(key), value: Buffer.from(value), ...counts };
  return { type: 'put', item, previous: previous ?? null };
}

export function deletion(revision: number, key: string, previous?: KeyValue): WireEvent {
  const counts = { createRevision: 0, modRevision: revision, version: 0, lease: 0 };
  const item = { key: Buffer.from(key), value: Buffer.alloc(0), ...counts };
  return { type: 'delete', item, previous: previous ?? null };
}

/** Plays the replicas' side of watches as a test says. */
export class WatchScript {
  /** Requests to watch that arrived, in order. */
  readonly asked: { readonly request: WatchRequest; readonly stream: FakeStream }[] = [];
  /** Ids of watches that were cancelled. */
  readonly cancelled: number[] = [];

  constructor(h: Harness) {
    h.cluster.fate = (request: ClientRequest, stream: FakeStream) => {
      if (request.type === 'watch-cancel') this.cancelled.push(request.watch);
      if (request.type !== 'watch' && request.type !== 'watch-cancel') return undefined;
      if (request.type === 'watch') this.asked.push({ request, stream });
      return 'ignore';
    };
  }

  get last(): { readonly request: WatchRequest; readonly stream: FakeStream } {
    const last = this.asked.at(-1);
    if (last === undefined) throw new Error('nobody has asked to watch');
    return last;
  }

  /** To the watch that was asked for last, or to the one given. */
  say(answer: ClientAnswer, stream = this.last.stream): void {
    stream.send({ type: 'answers', answers: [answer] });
  }

  created(revision: number): void {
    this.say({ type: 'watch-created', id: this.last.request.id, meta: META, revision });
  }

  /** What the replica has applied, as it says when it tells something; `null`: it does not say so. */
  appliedIndex: number | null = null;

  events(events: readonly WireEvent[], through?: number, more = false): void {
    const revision = through ?? events.at(-1)?.item.modRevision ?? 0;
    const { id } = this.last.request;
    const { appliedIndex } = this;
    this.say({ type: 'watch-events', id, events, revision, more, appliedIndex });
  }

  progress(revision: number): void {
    const { id } = this.last.request;
    const { appliedIndex } = this;
    this.say({ type: 'watch-progress', id, revision, alsoFor: [], appliedIndex });
  }

  lagging(revision: number): void {
    this.say({ type: 'watch-lagging', id: this.last.request.id, revision });
  }

  refuse(code: Parameters<typeof refusal>[0], details: Record<string, unknown> = {}): void {
    this.say(errorAnswer(this.last.request.id, refusal(code, { details })));
  }
}

/** Takes all that a watch gives, until it ends. */
export function collect<Out>(watch: Watch<Out, 'text'>): {
  readonly events: WatchEvent<Out, 'text'>[];
  readonly batches: WatchBatch<Out, 'text'>[];
  readonly over: Promise<void>;
} {
  const events: WatchEvent<Out, 'text'>[] = [];
  const batches: WatchBatch<Out, 'text'>[] = [];
  const run = async (): Promise<void> => {
    for await (const batch of watch.batches()) {
      batches.push(batch);
      events.push(...batch.events);
    }
  };
  const over = run();
  over.catch(() => {});
  return { events, batches, over };
}

/** In short: `3 put k=v`. */
export function short(events: readonly WatchEvent<unknown, 'text'>[]): string[] {
  return events.map((event) => {
    const value = event.type === 'put' ? `=${String(event.value)}` : '';
    return `${event.revision} ${event.type} ${event.key}${value}`;
  });
}
