import { BalsaError } from '../../../src/base/errors.js';
import type { Random } from '../../../src/base/random.js';
import type { ClientRequest } from '../../../src/rpc/protocol.js';
import { errorAnswer, type FakeCluster, type FakeStream, refusal } from './fake-cluster.js';

type WriteRequest = Extract<ClientRequest, { type: 'write' }>;

export interface ChaosOptions {
  readonly random: Random;
  /** Chance that a request is refused before it gets into the log. */
  readonly refusals: number;
  /** Trouble comes every so often, in milliseconds on average. */
  readonly troubleMs: number;
  /** Sessions are forgotten now and then. */
  readonly forgets: boolean;
}

/**
 * Makes a fake cluster behave as a real one in bad times: writes wait in the log of the leader and are
 * applied in its order; when the leader is lost, some first part of its log survives and the rest is
 * gone, and nobody is told which; connections break, replicas hang, sessions are forgotten.
 */
export class Chaos {
  readonly #cluster: FakeCluster;
  readonly #options: ChaosOptions;
  /** In the log, not applied. */
  #log: { readonly stream: FakeStream; readonly request: WriteRequest }[] = [];
  #on = true;

  constructor(cluster: FakeCluster, options: ChaosOptions) {
    this.#cluster = cluster;
    this.#options = options;
    cluster.fate = (request, stream) => this.#fate(request, stream);
    this.#commit();
    this.#trouble();
  }

  /** From now on all is well. */
  end(): void {
    this.#on = false;
    for (const replica of this.#cluster.replicas) replica.condition = 'up';
    if (this.#cluster.leader === null) this.#elect('n2');
  }

  #fate(request: ClientRequest, stream: FakeStream) {
    const { random, refusals } = this.#options;
    if (request.type !== 'write' || stream.replica?.name !== this.#cluster.leader) return undefined;
    if (this.#on && random.next() < refusals) {
      return refusal('OVERLOADED', { outcome: 'not-applied', details: { retryAfterMs: 3 } });
    }
    this.#log.push({ stream, request });
    return 'ignore';
  }

  #commit(): void {
    const { random } = this.#options;
    this.#cluster.clock.setTimer(random.int(4), () => {
      for (let count = 1 + random.int(6); count > 0; count -= 1) this.#applyFirst(true);
      this.#commit();
    });
  }

  #applyFirst(answers: boolean): void {
    const first = this.#log.shift();
    if (first === undefined) return;
    const { stream, request } = first;
    const results = this.#cluster.apply(stream.sessionId, request);
    if (!answers || !stream.open) return;
    const { id } = request;
    const answer =
      results instanceof BalsaError
        ? errorAnswer(id, results)
        : ({ type: 'write', id, meta: this.#cluster.meta(), results } as const);
    stream.send({ type: 'answers', answers: [answer] });
  }

  #trouble(): void {
    const { random, troubleMs } = this.#options;
    this.#cluster.clock.setTimer(1 + random.int(2 * troubleMs), () => {
      if (!this.#on) return;
      this.#doHarm();
      this.#trouble();
    });
  }

  #doHarm(): void {
    const { random, forgets } = this.#options;
    const names = this.#cluster.replicas.map((r) => r.name);
    const name = names[random.int(names.length)] ?? 'n1';
    const replica = this.#cluster.replica(name);
    switch (random.int(forgets ? 7 : 6)) {
      case 0:
      case 1:
        this.#elect(random.int(3) === 0 ? null : name);
        break;
      case 2:
      case 3:
        replica.disconnectAll();
        break;
      case 4:
        replica.condition = random.int(2) === 0 ? 'hangs' : 'refuses';
        if (replica.condition === 'refuses') replica.disconnectAll();
        if (this.#cluster.leader === name) this.#elect(null);
        break;
      case 5:
        for (const r of this.#cluster.replicas) r.condition = 'up';
        break;
      default:
        this.#cluster.forgetSessions();
    }
  }

  /** A first part of the log survives; of the rest the old leader says that it does not know. */
  #elect(leader: string | null): void {
    const { random } = this.#options;
    if (leader !== this.#cluster.leader) {
      for (let count = random.int(this.#log.length + 1); count > 0; count -= 1) {
        const answered = random.int(2) === 0;
        if (!answered) this.#answerUnknown(this.#log[0], leader);
        this.#applyFirst(answered);
      }
      for (const entry of this.#log) this.#answerUnknown(entry, leader);
      this.#log = [];
    }
    this.#cluster.elect(leader);
  }

  #answerUnknown(
    entry: { stream: FakeStream; request: WriteRequest } | undefined,
    leader: string | null,
  ): void {
    if (entry === undefined || !entry.stream.open) return;
    const error = refusal('NOT_LEADER', { outcome: 'unknown', details: { leader } });
    entry.stream.send({ type: 'answers', answers: [errorAnswer(entry.request.id, error)] });
  }
}
