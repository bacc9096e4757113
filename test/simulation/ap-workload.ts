import { Cell, cellKey } from '../../src/base/cell.js';
import { BalsaError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';
import type { CallResult } from '../../src/client/procedures.js';
import type { ApOptions } from './ap/ap-options.js';
import {
  AP_BUNDLE,
  type ApAction,
  COUNTER,
  type Done,
  LOG,
  STOCK,
  TAGS,
} from './ap/ap-procedures.js';
import type { Machine } from './machine.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

/** What a replica may say that runs, whatever became of the others. It is never that others are missing. */
const ORDINARY = new Set([
  // Nobody answers at its address, or it stands still, or its disk does.
  ...['UNREACHABLE', 'TIMEOUT', 'SHUTTING_DOWN', 'CLIENT_CLOSED'],
  // The executor's own trouble.
  ...['OVERLOADED', 'PROCEDURE_LIMIT'],
  // One that has just been let in has nothing yet, or has not heard of it.
  ...['REPLICA_BEHIND', 'PROCEDURE_NOT_FOUND'],
]);

interface ApCall {
  readonly id: string;
  readonly action: ApAction;
  /** Machines that may lose it with their disks: those that answered, as long as nobody else has it. */
  readonly at: Set<string>;
  isAnswered: boolean;
  /** An attempt was made of which nobody knows. */
  isUnsure: boolean;
  /** Others had it on their disks when it was answered. */
  isCopied: boolean;
}

/** Each caller stays with one replica as long as that answers, also when it is cut off: its side of a partition. */
export class ApWorkload {
  readonly #world: World;
  readonly #options: ApOptions;
  readonly #clients: readonly SideClient[];
  readonly #calls = new Map<string, ApCall>();
  /** By machine: what was acknowledged there, in this life of its disk. */
  readonly #acknowledged = new Map<string, Set<string>>();
  readonly #deployer: SideClient;
  #isDeployed = false;
  #nextId = 0;

  constructor(world: World, options: ApOptions) {
    this.#world = world;
    this.#options = options;
    this.#clients = world.machines.slice(0, world.options.replicas).map(
      (machine, place) =>
        new SideClient(world, {
          ...{ name: `ap-${place}`, place, seed: 0xa90 + place },
          endpoints: [machine.address],
        }),
    );
    this.#deployer = new SideClient(world, { name: 'ap-deployer', place: 0, seed: 0xa9f });
  }

  get isIdle(): boolean {
    const { intact } = this.#world;
    const isMerged = intact.every(({ replica }) => replica?.calls.apStatus?.pending === 0);
    return isMerged && [...this.#clients, this.#deployer].every(({ isIdle }) => isIdle);
  }

  start(): void {
    this.#deployer.start((db) => this.#deployer.run(() => this.#deploy(db)));
    for (const [place, client] of this.#clients.entries()) {
      client.start((db) => client.repeat(this.#options.pauseMs, () => this.#step(place, db)));
    }
  }

  stop(): void {
    for (const client of [...this.#clients, this.#deployer]) client.stop();
  }

  async close(): Promise<void> {
    for (const client of [...this.#clients, this.#deployer]) await client.close();
  }

  // -------------------------------------------------------------------------------------------

  async #deploy(db: TextClient): Promise<void> {
    while (!this.#isDeployed && !this.#deployer.isStopped) {
      await this.#deployer.sleep(300);
      const done = await this.#deployer.attempt(async () => {
        await db.procedures.deploy(AP_BUNDLE);
        return true;
      });
      this.#isDeployed = done === true;
    }
  }

  async #step(place: number, db: TextClient): Promise<void> {
    if (!this.#isDeployed) return;
    const { random } = this.#clients[place] as SideClient;
    if (random.int(5) === 0) {
      await this.#look(place, db);
      return;
    }
    const id = `${place}-${this.#nextId++}`;
    const action = this.#draw(random);
    const isNamed = random.int(4) === 0;
    const call: ApCall = {
      ...{ id, action, at: new Set<string>() },
      ...{ isAnswered: false, isUnsure: false, isCopied: false },
    };
    this.#calls.set(id, call);
    await this.#ask(place, db, call, isNamed);
    if (!isNamed) return;
    // Somebody asks for the same elsewhere, perhaps on another side.
    const other = (place + 1 + random.int(this.#clients.length - 1 || 1)) % this.#clients.length;
    const client = this.#clients[other] as SideClient;
    if (client.db !== null) await this.#ask(other, client.db, call, isNamed);
  }

  #draw(random: Random): ApAction {
    const dice = random.int(10);
    if (dice < 4) return { type: 'count', by: random.int(20) - 5 };
    if (dice < 5) return { type: 'stock', by: 5 + random.int(30) };
    if (dice < 8) return { type: 'take', by: 1 + random.int(4) };
    const tagged = [...this.#calls.values()].filter(({ action }) => action.type === 'tag');
    const one = tagged[random.int(tagged.length || 1)];
    if (dice === 8 || one === undefined) return { type: 'tag' };
    return { type: 'untag', of: one.id };
  }

  async #ask(place: number, db: TextClient, call: ApCall, isNamed: boolean): Promise<void> {
    const { coverage } = this.#world;
    const { random } = this.#clients[place] as SideClient;
    const disks = this.#disks();
    const peers = random.int(6) === 0 ? 1 : 0;
    const { id, action } = call;
    try {
      const answer = (await db.call(
        'ap-do',
        { id, action },
        {
          ...{ consistency: 'ap-local', durability: { peers } },
          ...(isNamed ? { idempotencyKey: `key of ${id}` } : {}),
        },
      )) as CallResult<{ readonly times: number }>;
      coverage.count(`ap: ${action.type} answered`);
      if (answer.meta.side === 'isolated') coverage.count('ap: answered in isolation');
      if (answer.repeated) coverage.count(`ap: repeated, ${answer.pending ? 'pending' : 'merged'}`);
      if (peers > 0) coverage.count('ap: answered with copies');
      call.isAnswered = true;
      call.isCopied ||= peers > 0 || !answer.pending;
      const machine = this.#machine(answer);
      call.at.add(machine.id);
      // Its disk may have been lost while the answer was on its way.
      const disk = disks.get(machine.name) ?? '';
      call.at.add(disk);
      if (disk === machine.id) this.#acknowledgedAt(disk).add(id);
      const { times } = answer.result;
      if (times !== 1) throw new Violation(`Ap: ${machine.name} shows ${id} ${times} times`);
    } catch (error) {
      if (!(error instanceof BalsaError) || !ORDINARY.has(error.code)) throw error;
      coverage.count(`ap: told ${error.code} (${error.outcome ?? 'none'})`);
      if (error.outcome !== 'not-applied') call.isUnsure = true;
    }
  }

  /** Whoever asks a replica sees what it has acknowledged before. */
  async #look(place: number, db: TextClient): Promise<void> {
    const disks = this.#disks();
    const before = new Map([...disks.values()].map((id) => [id, [...this.#acknowledgedAt(id)]]));
    const client = this.#clients[place] as SideClient;
    try {
      const answer = (await db.call('ap-look', null, {
        consistency: 'ap-local',
      })) as CallResult<{ readonly seen: readonly string[]; readonly stock: number }>;
      this.#world.coverage.count('ap: looked');
      if (answer.result.stock < 0) throw new Violation(`Ap: the stock is ${answer.result.stock}`);
      const seen = new Set(answer.result.seen);
      if (seen.size < answer.result.seen.length) {
        throw new Violation(`Ap: a call is shown twice: ${answer.result.seen.join(' ')}`);
      }
      const machine = this.#machine(answer);
      if (disks.get(machine.name) !== machine.id) return;
      for (const id of before.get(machine.id) ?? []) {
        if (seen.has(id)) continue;
        throw new Violation(`Ap: ${machine.name} has acknowledged ${id}, and does not show it`);
      }
    } catch (error) {
      if (!(error instanceof BalsaError) || !ORDINARY.has(error.code)) throw error;
      client.world.coverage.count(`ap: told ${error.code} (read)`);
    }
  }

  /** By the names of machines: which disk each has. */
  #disks(): Map<string, string> {
    return new Map(this.#world.machines.map(({ name, id }) => [name, id]));
  }

  #machine({ meta }: CallResult<unknown>): Machine {
    return this.#world.machines.find(({ name }) => name === meta.replica) as Machine;
  }

  #acknowledgedAt(disk: string): Set<string> {
    const known = this.#acknowledged.get(disk) ?? new Set<string>();
    this.#acknowledged.set(disk, known);
    return known;
  }

  // -------------------------------------------------------------------------------------------

  /** All replicas hold the same: what one of them has merged must be what was acknowledged. @throws Violation */
  check(): void {
    for (const { replica, name } of this.#world.intact) {
      if (replica === null) continue;
      const view = <T>(key: string, nothing: T): T => {
        const found = replica.machine.get(cellKey(key), null);
        const cell = found === null ? null : Cell.decode(found.value);
        return cell === null ? nothing : (JSON.parse(cell.view()) as T);
      };
      const done = view<Done[]>(LOG, []);
      this.#checkLog(name, done);
      checkSums(done, {
        counter: view(COUNTER, 0),
        stock: view(STOCK, 0),
        tags: view<string[]>(TAGS, []),
      });
    }
  }

  #checkLog(name: string, done: readonly Done[]): void {
    const ids = done.map(({ id }) => id);
    const merged = new Set(ids);
    if (merged.size < ids.length) throw new Violation(`Ap: ${name} counts twice: ${ids.join(' ')}`);
    for (const call of this.#calls.values()) {
      const { id, isAnswered, isUnsure } = call;
      if (isAnswered && !merged.has(id) && !this.#mayBeLost(call)) {
        throw new Violation(`Ap: ${id} was acknowledged by ${[...call.at].join()}, and is lost`);
      }
      if (!isAnswered && !isUnsure && merged.has(id)) {
        throw new Violation(`Ap: ${id} was refused, and counts`);
      }
    }
  }

  /** It was on disks alone that are gone, or of members that are. */
  #mayBeLost({ at, isCopied }: ApCall): boolean {
    const { intact, coverage } = this.#world;
    const left = new Set(intact.map(({ id }) => id));
    const isLost = !isCopied && [...at].every((id) => !left.has(id));
    if (isLost) coverage.count('ap: lost with a disk');
    return isLost;
  }
}

function checkSums(
  done: readonly Done[],
  { counter, stock, tags }: { counter: number; stock: number; tags: readonly string[] },
): void {
  let count = 0;
  let left = 0;
  const tagged = new Set<string>();
  const untagged = new Set<string>();
  for (const { id, action, did } of done) {
    if (action.type === 'count') count += action.by;
    else if (action.type === 'stock') left += action.by;
    else if (action.type === 'take' && did) left -= action.by;
    else if (action.type === 'tag') tagged.add(id);
    else if (action.type === 'untag' && did) untagged.add(action.of);
  }
  const wanted = [...tagged].filter((id) => !untagged.has(id)).sort();
  if (counter !== count)
    throw new Violation(`Ap: the counter is ${counter}, and ${count} were added`);
  if (stock !== left) throw new Violation(`Ap: the stock is ${stock}, and ${left} are left`);
  if (stock < 0) throw new Violation(`Ap: the stock is ${stock}`);
  if (JSON.stringify([...tags].sort()) !== JSON.stringify(wanted)) {
    throw new Violation(`Ap: the tags are ${tags.join()}, and were to be ${wanted.join()}`);
  }
}
