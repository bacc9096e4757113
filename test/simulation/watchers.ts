import { BalsaError } from '../../src/base/errors.js';
import { randomBytes, seededRandom } from '../../src/base/random.js';
import { text } from '../../src/client/codec.js';
import { type Client, openClient } from '../../src/client/kv-client.js';
import type { Watch, WatchBatch } from '../../src/client/watch.js';
import type { Machine } from './machine.js';
import { MachineTime } from './machine-time.js';
import { Violation } from './scheduler.js';
import { describeEvent } from './watch-history.js';
import type { WatcherOptions } from './watcher-options.js';
import type { World } from './world.js';

/** Within this time after the last fault every watch has been told everything. */
const TOLD_MS = 40_000;

/**
 * Clients that watch while the cluster is disturbed. At the end each has seen each event of its range once, in
 * order, without gap, whatever failed; and nobody was told of progress that had not been made.
 */
export class Watchers {
  readonly #world: World;
  readonly #watchers: Watcher[];
  /** Highest revision of a write that was acknowledged. */
  readonly #acknowledged: () => number;

  constructor(world: World, acknowledged: () => number) {
    this.#world = world;
    this.#acknowledged = acknowledged;
    const { watchers = [] } = world.options;
    this.#watchers = watchers.map(
      (options, number) => new Watcher(world, { number, options, acknowledged }),
    );
  }

  start(): void {
    for (const watcher of this.#watchers) watcher.start();
  }

  /** There are no faults any more, and nothing is written: everything is told, and nothing was told wrong. */
  async finish(): Promise<void> {
    const { scheduler, history } = this.#world;
    const due = this.#watchers.filter((watcher) => watcher.mustHearAll);
    for (const watcher of this.#watchers) watcher.hurry();
    const isTold = (): boolean => due.every((watcher) => watcher.through >= history.revision);
    const endMs = scheduler.nowMs + TOLD_MS;
    // Promises go on behind events only, a few steps behind each, and a quiet cluster has few.
    const pump = (): void => {
      if (!isTold() && scheduler.nowMs < endMs) scheduler.plan(1, pump);
    };
    pump();
    await scheduler.run(endMs, isTold);
    for (const watcher of this.#watchers) watcher.check();
    const late = due.find((watcher) => watcher.through < history.revision);
    if (late !== undefined) {
      throw new Violation(
        `Watch: ${late.name} has been told through ${late.through} of ${history.revision} (acknowledged: ${this.#acknowledged()}), ` +
          `${TOLD_MS} ms after the last fault: ${late.state}`,
      );
    }
    for (const watcher of this.#watchers) await watcher.close();
  }
}

class Watcher {
  readonly name: string;
  readonly #world: World;
  readonly #number: number;
  readonly #options: WatcherOptions;
  readonly #acknowledged: () => number;
  #db: Client<string, string, 'text'> | null = null;
  #watch: Watch<string, 'text'> | null = null;
  #fromRevision: number | null = null;
  #told: string[] = [];
  #through = 0;
  #hurries = false;
  #wake: (() => void) | null = null;
  #closed = false;
  state = 'not begun';

  constructor(
    world: World,
    facts: { number: number; options: WatcherOptions; acknowledged: () => number },
  ) {
    this.#world = world;
    this.#number = facts.number;
    this.#options = facts.options;
    this.#acknowledged = facts.acknowledged;
    this.name = `w${facts.number}`;
  }

  get through(): number {
    return this.#through;
  }

  /** Its replica is there at the end, and knows everything. */
  get mustHearAll(): boolean {
    const machine = this.#machine;
    return machine === null || this.#world.intact.includes(machine);
  }

  get #machine(): Machine | null {
    const { place } = this.#options;
    return place === null ? null : this.#world.machine(place % this.#world.options.replicas);
  }

  start(): void {
    const { scheduler } = this.#world;
    scheduler.plan(this.#options.afterMs, () => {
      this.#run().catch((error: unknown) => {
        if (!this.#closed) scheduler.fail(error as Error);
      });
    });
  }

  /** From now on it takes what there is. */
  hurry(): void {
    this.#hurries = true;
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watch?.close();
    await this.#db?.close();
  }

  async #run(): Promise<void> {
    this.state = 'connects';
    this.#db = await this.#open();
    const { back } = this.#options;
    let from = back === null ? null : Math.max(1, this.#acknowledged() + 1 - back);
    for (;;) {
      try {
        await this.#follow(this.#db, from);
        return;
      } catch (error) {
        if (!(error instanceof BalsaError) || error.code !== 'COMPACTED') throw error;
        from = this.#compacted(error);
      }
    }
  }

  /** What it still had to be told is gone: what it was told so far is right, and it begins anew. */
  #compacted(error: BalsaError): number {
    const { coverage, history } = this.#world;
    coverage.count('watch: compacted');
    const oldest = error.details.compactedRevision as number;
    if (oldest > history.compactedRevision || oldest <= this.#through) {
      throw new Violation(
        `Watch: ${this.name} was told through ${this.#through}, and that all before ${oldest} is gone: ${history.compactedRevision} is`,
      );
    }
    if (this.#fromRevision !== null) this.check();
    this.#fromRevision = null;
    this.#told = [];
    return oldest;
  }

  async #follow(db: Client<string, string, 'text'>, from: number | null): Promise<void> {
    const { isKey, prefix, only, withPrevious, consistency, bufferBytesMax } = this.#options;
    const { coverage } = this.#world;
    const acknowledged = this.#acknowledged();
    const fromRevision = from ?? undefined;
    this.state = 'asks';
    const watch = db.watch({
      ...(isKey ? { key: prefix } : { prefix }),
      ...{ fromRevision, only, withPrevious, consistency, bufferBytesMax },
      ...{ progress: true, timeoutMs: 0 },
      onLagging: ({ by }) => coverage.count(`watch: lagging (${by})`),
    });
    this.#watch = watch;
    const meta = await watch.ready;
    this.state = `established at ${meta.replica}`;
    coverage.count(from === null ? 'watch: from now' : 'watch: from a revision');
    if (consistency === 'linearizable' && meta.revision < acknowledged) {
      throw new Violation(
        `Watch: ${this.name} begins behind revision ${meta.revision}, when ${acknowledged} was acknowledged`,
      );
    }
    this.#fromRevision = fromRevision ?? meta.revision + 1;
    this.#through = this.#fromRevision - 1;
    for await (const batch of watch.batches()) await this.#take(batch);
  }

  async #take({ revision, events }: WatchBatch<string, 'text'>): Promise<void> {
    const { coverage, history } = this.#world;
    if (events.length === 0) {
      coverage.count('watch: progress');
      if (revision > history.revision) {
        throw new Violation(`Watch: ${this.name} is told of progress to ${revision}, which is not`);
      }
      this.#through = Math.max(this.#through, revision);
      return;
    }
    coverage.count('watch: events');
    if (revision <= this.#through) {
      throw new Violation(
        `Watch: ${this.name} is told of revision ${revision} when it had been told everything through ${this.#through}`,
      );
    }
    this.#through = revision;
    for (const event of events) {
      this.#told.push(describeEvent(event));
      if (!this.#options.withPrevious) continue;
      const before = event.previous?.value;
      const written = history.writeBefore(event.key, revision);
      if (before === written?.value) continue;
      if (before === undefined && (written?.revision ?? 0) < history.compactedRevision) continue;
      throw new Violation(`Watch: ${this.name}: before ${describeEvent(event)} it held ${before}`);
    }
    await this.#think();
  }

  async #think(): Promise<void> {
    const { thinkMs } = this.#options;
    const { scheduler } = this.#world;
    if (thinkMs === 0 || this.#hurries) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      scheduler.plan(scheduler.random.next() * thinkMs, resolve);
    });
  }

  /** @throws Violation when it was told something else than what happened */
  check(): void {
    if (this.#fromRevision === null) {
      if (this.mustHearAll)
        throw new Violation(`Watch: ${this.name} is not established: ${this.state}`);
      return;
    }
    const { history } = this.#world;
    const expected = history
      .events({ ...this.#options, fromRevision: this.#fromRevision })
      .map(describeEvent);
    const due = expected.filter((line) => Number.parseInt(line, 10) <= this.#through);
    const wrong = due.findIndex((line, i) => line !== this.#told[i]);
    if (wrong < 0 && due.length === this.#told.length) return;
    const at = wrong < 0 ? due.length : wrong;
    throw new Violation(
      `Watch: ${this.name} was told ${this.#told[at]} where ${due[at]} was due\n` +
        `  from revision ${this.#fromRevision}; before it: ${due.slice(Math.max(0, at - 3), at).join(', ')}\n` +
        `  ${JSON.stringify(this.#options)}`,
    );
  }

  #open(): Promise<Client<string, string, 'text'>> {
    const { scheduler, network, endpoints, options } = this.#world;
    // Of its own: the rest of the run draws what it drew without it.
    const random = seededRandom(options.seed * 64 + this.#number);
    const place = this.#world.watcherPlace(this.#number);
    const time = new MachineTime(scheduler, place);
    const machine = this.#machine;
    return openClient(
      {
        endpoints: machine === null ? endpoints : [machine.address],
        followLeader: machine === null,
        codec: text,
        connectTimeoutMs: 0,
        clientName: this.name,
      },
      {
        clock: time.clock(),
        random,
        dial: (dialled) => network.dial(place, dialled),
        newSessionId: () => randomBytes(random, 16),
      },
    ) as Promise<Client<string, string, 'text'>>;
  }
}
