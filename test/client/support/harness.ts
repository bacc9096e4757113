import type { BalsaError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { bytes, type Codec } from '../../../src/client/codec.js';
import type { Environment } from '../../../src/client/environment.js';
import type { Client } from '../../../src/client/kv-client.js';
import { openClient } from '../../../src/client/kv-client.js';
import type { ConnectOptions, KeyForm } from '../../../src/client/options.js';
import { errorOf, settled } from './failure.js';
import { FakeCluster } from './fake-cluster.js';
import { VirtualClock } from './virtual-clock.js';

export type Given<In, Out, Keys extends KeyForm> = Partial<ConnectOptions<In, Out, Keys>>;

/** A fake cluster and the means to connect to it. */
export class Harness {
  readonly clock = new VirtualClock();
  readonly cluster: FakeCluster;
  readonly environment: Environment;

  constructor(names?: readonly string[], seed = 1) {
    this.cluster = new FakeCluster(this.clock, names);
    const random = seededRandom(seed);
    let sessions = 0;
    this.environment = {
      clock: this.clock,
      random,
      dial: this.cluster.dial,
      newSessionId: () => {
        sessions += 1;
        return Buffer.alloc(16, sessions);
      },
    };
  }

  /** Connects, time passing as needed. */
  connect(
    options?: Given<string | Uint8Array, Buffer, 'text'> & { codec?: undefined },
  ): Promise<Client>;
  connect<In, Out, Keys extends KeyForm>(
    options: Given<In, Out, Keys> & { codec: Codec<In, Out> },
  ): Promise<Client<In, Out, Keys>>;
  async connect(options: Given<never, unknown, KeyForm> = {}): Promise<unknown> {
    const codec: Codec<never, unknown> = options.codec ?? bytes;
    const given = { endpoints: this.cluster.endpoints, ...options, codec };
    return this.until(openClient(given, this.environment));
  }

  /** Lets time pass until the promise is settled; fails when that takes too long. */
  async until<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    for (let ms = 0; ms <= limitMs; ms += 1) {
      await this.clock.settle();
      if (settled) return promise;
      await this.clock.advance(1);
    }
    throw new Error(`not settled after ${limitMs} ms`);
  }

  /** What is iterated over, time passing as needed. */
  async *drain<T>(items: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const next = await this.until(items.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  /** The error that the promise fails with, time passing as needed. */
  async failure(promise: Promise<unknown>): Promise<BalsaError> {
    return errorOf(await this.until(settled(promise)));
  }
}

/** What becomes of a promise, seen from outside. */
export function watch<T>(promise: Promise<T>): {
  value: T | null;
  error: BalsaError | null;
  count: number;
} {
  const seen: { value: T | null; error: BalsaError | null; count: number } = {
    value: null,
    error: null,
    count: 0,
  };
  promise.then(
    (value) => {
      seen.value = value;
      seen.count += 1;
    },
    (error: unknown) => {
      seen.error = error as BalsaError;
      seen.count += 1;
    },
  );
  return seen;
}
