import { seededRandom } from '../../src/base/random.js';
import { formedWith } from '../../src/raft/configuration.js';
import { RaftNode } from '../../src/raft/raft-node.js';
import type {
  ConfigurationChange,
  CoreEvent,
  Entry,
  MemberId,
  Message,
  RaftEvent,
  RaftOptions,
  Ready,
} from '../../src/raft/types.js';
import { LIMITS, runsOf } from './node-fixture.js';
import { SafetyChecker } from './safety-checker.js';
import { SimulatedMember } from './simulated-member.js';
import { SimulatedSnapshots } from './simulated-snapshots.js';
import { describeMembers, describeMessage, describeWrite } from './transcript.js';

/** A cluster of cores on a network and disks that do only what they are told, in one order. */

export interface ClusterSetup {
  readonly ids: readonly MemberId[];
  /** With whom the cluster is formed; all unless given. The others wait to be added. */
  readonly voters?: readonly MemberId[];
  readonly priorities?: Readonly<Record<MemberId, number>>;
  readonly seed: number;
  readonly electionTicks?: number;
  readonly heartbeatTicks?: number;
  readonly limits?: Partial<RaftOptions['limits']>;
  readonly leaseMs?: number;
  /** Reads of the disk take their time: until `serveIo`, or the cluster settles. */
  readonly slowIo?: boolean;
  /** Logs to begin with, as entries; terms are those of the last entry unless given. */
  readonly logs?: Readonly<Record<MemberId, readonly Entry[]>>;
  readonly terms?: Readonly<Record<MemberId, number>>;
}

/** How far apart the rates of clocks may be, for the margin of leases. */
const LEASE_DRIFT_MARGIN = 0.1;
const CLOCK_RATE_ERROR = 0.05;

export class Cluster {
  readonly members = new Map<MemberId, SimulatedMember>();
  readonly checker: SafetyChecker;
  network: Message[] = [];
  /** Lines of what happened, while someone writes them down. */
  transcript: string[] | null = null;
  /** Pairs that hear nothing of each other, as `from>to`. */
  readonly cut = new Set<string>();
  readonly snapshots: SimulatedSnapshots;
  /** The time that really is. */
  timeMs = 0;
  /** Reads that a leader of several voters answered without asking. */
  leaseReads = 0;
  #nextId = 1;
  readonly #setup: ClusterSetup;

  constructor(setup: ClusterSetup) {
    this.#setup = setup;
    this.checker = new SafetyChecker(formedWith(this.voters));
    this.snapshots = new SimulatedSnapshots(this);
    for (const id of setup.ids) {
      const entries = setup.logs?.[id] ?? [];
      const term = setup.terms?.[id] ?? entries.at(-1)?.term ?? 0;
      const formed = formedWith(this.voters.includes(id) ? this.voters : []);
      this.members.set(id, new SimulatedMember(id, { entries, term, formed }));
      this.checker.registerEntries(entries, null);
    }
    for (const id of setup.ids) this.start(id);
  }

  get ids(): readonly MemberId[] {
    return this.#setup.ids;
  }

  /** With whom the cluster was formed. */
  get voters(): readonly MemberId[] {
    return this.#setup.voters ?? this.#setup.ids;
  }

  member(id: MemberId): SimulatedMember {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  node(id: MemberId): RaftNode {
    const { node } = this.member(id);
    if (node === null) throw new Error(`${id} is down`);
    return node;
  }

  /** The leader of the greatest term, if any. */
  leader(): MemberId | null {
    const leaders = [...this.members.values()].filter((m) => m.node?.role === 'leader');
    leaders.sort((a, b) => (b.node?.term ?? 0) - (a.node?.term ?? 0));
    return leaders[0]?.id ?? null;
  }

  start(id: MemberId): void {
    const member = this.member(id);
    if (member.node !== null) return;
    this.snapshots.finishInstall(member);
    const { hardState, entries, logStart, appliedIndex } = member.durable;
    const held = entries.slice(logStart.index);
    member.starts += 1;
    member.log = [...entries];
    member.pending = [];
    member.appliedIndex = appliedIndex;
    member.role = 'follower';
    const seed = this.#setup.seed * 1000 + this.ids.indexOf(id) * 100 + member.starts;
    const random = seededRandom(seed);
    const rate = 1 + CLOCK_RATE_ERROR * (2 * random.next() - 1);
    member.clock = { rate, offsetMs: random.int(1_000_000) };
    // Sometimes the memory holds only a part of the log, so that loading is exercised, too.
    const cached = Math.floor(held.length / member.starts);
    member.node = new RaftNode(
      {
        id,
        electionTicks: this.#setup.electionTicks ?? 10,
        heartbeatTicks: this.#setup.heartbeatTicks ?? 2,
        random: seededRandom(seed),
        priority: this.#setup.priorities?.[id] ?? 100,
        leaseMs: this.#setup.leaseMs ?? 0,
        leaseDriftMargin: LEASE_DRIFT_MARGIN,
        diskStallTicks: 1_000,
        limits: { ...LIMITS, ...this.#setup.limits },
      },
      {
        hardState,
        configuration: this.snapshots.configurationAt(member, appliedIndex),
        logStart,
        terms: runsOf(
          held.map((e) => e.term),
          logStart.index + 1,
        ),
        lastIndex: entries.length,
        tail: held.slice(held.length - cached),
        configurationEntries: held.filter((e) => e.type === 'configuration'),
        appliedIndex,
      },
    );
    this.checker.started(member);
    this.#note(`${id} starts`);
  }

  /**
   * Power fails: what is not synced is gone, but for a torn first write of `tornRecords` records. The
   * state machine may have been behind.
   */
  crash(id: MemberId, appliedBehind = 0, tornRecords = 0): void {
    const member = this.member(id);
    if (member.node === null) return;
    this.#tear(member, tornRecords);
    // What applying an entry wrote reaches the disk behind that entry, not just behind its index.
    const flushed = member.node.flushedIndex;
    member.durable.appliedIndex = Math.max(
      member.durable.appliedIndex,
      Math.min(member.appliedIndex, flushed) - appliedBehind,
    );
    member.node = null;
    member.installing = null;
    member.io = [];
    member.pending = [];
    member.reads.clear();
    this.#note(`${id} crashes`);
  }

  step(id: MemberId, ...events: RaftEvent[]): Ready | null {
    const member = this.member(id);
    if (member.node === null) return null;
    member.configuration = member.node.configuration;
    const { rate, offsetMs } = member.clock;
    const ready = member.node.step(events, offsetMs + rate * this.timeMs);
    this.#carryOut(member, ready);
    return ready;
  }

  tick(id: MemberId, count = 1): void {
    for (let i = 0; i < count; i += 1) this.step(id, { type: 'tick' });
  }

  propose(id: MemberId, text?: string): void {
    const number = this.#nextId++;
    this.#note(`${id} is asked to append ${text ?? `p${number}`}`);
    this.step(id, { type: 'propose', id: number, payload: Buffer.from(text ?? `p${number}`) });
  }

  read(id: MemberId): number {
    const number = this.#nextId++;
    const member = this.member(id);
    if (member.node === null) return number;
    this.#note(`${id} is asked for a read index`);
    member.reads.set(number, this.checker.committedIndex);
    const ready = this.step(id, { type: 'read', id: number });
    const isAnswered = ready?.reads.some((answer) => answer.ok && answer.id === number) ?? false;
    if (isAnswered && member.node.configuration.voters.length > 1) this.leaseReads += 1;
    return number;
  }

  /** Asks `id` to change the members, from those that it knows. */
  change(id: MemberId, fields: Partial<ConfigurationChange>): number {
    const number = this.#nextId++;
    const { node } = this.member(id);
    if (node === null) return number;
    const { index: expectedIndex, voters, learners, promotions, addresses } = node.configuration;
    const change = { expectedIndex, voters, learners, promotions, addresses, ...fields };
    const members = describeMembers(formedWith(change.voters, change));
    this.#note(`${id} is asked for the members ${members}`);
    this.step(id, { type: 'change-configuration', id: number, change });
    return number;
  }

  transfer(id: MemberId, target: MemberId | null): number {
    const number = this.#nextId++;
    this.#note(`${id} is asked to hand leadership to ${target ?? 'anybody'}`);
    this.step(id, { type: 'transfer', id: number, target });
    return number;
  }

  /** The disk of `id` finishes its oldest `count` writes, as one completion. */
  persist(id: MemberId, count = 1): void {
    const member = this.member(id);
    const done = member.pending.splice(0, count);
    const last = done.at(-1);
    if (last === undefined) return;
    for (const { write, messages } of done) {
      if (write.hardState !== null) member.durable.hardState = write.hardState;
      applyEntries(member.durable.entries, write.entries);
      this.checker.sent(member, messages);
      this.#post(messages);
    }
    this.#note(`${id} has written ${done.map((p) => `#${p.write.sequence}`).join(' ')}`);
    this.step(id, { type: 'persisted', sequence: last.write.sequence });
  }

  /** Hands over the message at `position`; `keep` leaves a copy in the network, behind all others. */
  deliver(position: number, keep = false): void {
    const message = this.network[position];
    if (message === undefined) return;
    this.network.splice(position, 1);
    if (keep) this.network.push(message);
    if (this.cut.has(`${message.from}>${message.to}`)) return;
    if (this.member(message.to).node === null) return;
    this.#note(describeMessage(message));
    this.step(message.to, { type: 'message', message });
  }

  /** Runs network and disks until nothing is left to do. */
  settle(except: { readonly disks?: readonly MemberId[] } = {}): void {
    for (let round = 0; round < 10_000; round += 1) {
      if (this.network.length > 0) {
        this.deliver(0);
        continue;
      }
      const busy = this.ids.find(
        (id) => this.member(id).pending.length > 0 && !except.disks?.includes(id),
      );
      if (busy !== undefined) this.persist(busy, 1);
      else if (!this.#settleSlowly()) return;
    }
    throw new Error('the cluster does not come to rest');
  }

  /** The oldest `count` reads of the disk, and news of it, reach the core. */
  serveIo(id: MemberId, count = 1): void {
    for (const event of this.member(id).io.splice(0, count)) this.step(id, event());
  }

  pass(ms: number): void {
    this.timeMs += ms;
  }

  isolate(id: MemberId): void {
    this.#note(`${id} is cut off`);
    for (const other of this.ids) {
      if (other === id) continue;
      this.cut.add(`${id}>${other}`);
      this.cut.add(`${other}>${id}`);
    }
  }

  heal(): void {
    this.#note('the network is whole');
    this.cut.clear();
  }

  note(line: string): void {
    this.#note(line);
  }

  /** What takes long, one step of it. Says whether there was any. */
  #settleSlowly(): boolean {
    const waiting = this.ids.find((id) => this.member(id).io.length > 0);
    const installing = this.ids.find((id) => this.member(id).installing !== null);
    if (waiting !== undefined) this.serveIo(waiting);
    else if (installing !== undefined) this.snapshots.install(installing);
    else if (this.snapshots.sendings.length > 0) this.snapshots.deliver(0);
    else return false;
    return true;
  }

  /** Of the oldest write under way, the first records reach the disk: hard state, then entries. */
  #tear(member: SimulatedMember, records: number): void {
    const write = member.pending[0]?.write;
    if (write === undefined || records === 0) return;
    if (write.hardState !== null) member.durable.hardState = write.hardState;
    const entries = write.entries.slice(0, write.hardState === null ? records : records - 1);
    applyEntries(member.durable.entries, entries);
  }

  #carryOut(member: SimulatedMember, ready: Ready): void {
    for (const event of ready.events) this.#tell(member, event);
    if (ready.write !== null) this.#note(`  ${member.id} ${describeWrite(ready.write)}`);
    this.#post(ready.messages);
    if (ready.write !== null) {
      applyEntries(member.log, ready.write.entries);
      this.checker.registerEntries(
        ready.write.entries,
        member.log[(ready.write.entries[0]?.index ?? 1) - 2] ?? null,
      );
      member.pending.push({ write: ready.write, messages: [...ready.messagesAfterPersist] });
    } else if (ready.messagesAfterPersist.length > 0) {
      const last = member.pending.at(-1);
      if (last !== undefined) last.messages.push(...ready.messagesAfterPersist);
      else {
        this.checker.sent(member, ready.messagesAfterPersist);
        this.#post(ready.messagesAfterPersist);
      }
    }
    if (ready.install !== null) {
      const behindWrite = member.pending.at(-1)?.write.sequence ?? 0;
      member.installing = { offer: ready.install, behindWrite, stage: 'received' };
    } else if (member.installing !== null) this.#checkInstalling(member, ready);
    for (const { member: to } of ready.snapshots) {
      if (member.node !== null) this.snapshots.request(member, to, member.node);
    }
    this.checker.sent(member, ready.messages);
    this.checker.stepped(member, ready, [...this.members.values()]);
    for (const answer of ready.reads) {
      if (answer.ok) this.#note(`  ${member.id} may read at index ${answer.index}`);
      else this.#note(`  ${member.id} may not read: ${answer.reason}`);
      member.answers.push(answer);
    }
    for (const answer of ready.proposals) {
      if (!answer.accepted) this.#note(`  ${member.id} does not append: ${answer.reason}`);
    }
    for (const answer of ready.configurationChanges) {
      const result = answer.accepted ? 'takes the change' : `refuses the change: ${answer.reason}`;
      this.#note(`  ${member.id} ${result}`);
      member.changes.push(answer);
    }
    for (const answer of ready.transfers) {
      const result = answer.ok
        ? `has handed over to ${answer.target}`
        : `leads on: ${answer.reason}`;
      this.#note(`  ${member.id} ${result}`);
      member.transfers.push(answer);
    }
    this.#serve(member, ready);
  }

  #tell(member: SimulatedMember, event: CoreEvent): void {
    const { id } = member;
    if (event.type === 'role') {
      member.role = event.role;
      const leader = event.leader === null ? '' : `, leader ${event.leader}`;
      this.#note(`  ${id} is ${event.role} in term ${event.term}${leader} (${event.reason})`);
    } else if (event.type === 'configuration') {
      const how = event.committed ? 'committed' : 'in effect';
      const { index } = event.configuration;
      this.#note(`  ${id} members ${index} ${how}: ${describeMembers(event.configuration)}`);
    } else if (event.type === 'transfer') {
      this.#note(`  ${id} transfer to ${event.target} ${event.phase} (${event.reason})`);
    } else if (event.type === 'snapshot') {
      this.#note(`  ${id} snapshot ${event.index} ${event.phase} (${event.member})`);
    } else if (event.type === 'compacted') {
      const { index, term } = event.logStart;
      this.#note(`  ${id} log begins behind ${index}:${term}`);
    } else if (event.type === 'removed') {
      this.#note(`  ${id} is removed`);
    }
    member.events.push(event);
  }

  #checkInstalling(member: SimulatedMember, { write }: Ready): void {
    if (write !== null && write.entries.length > 0) {
      throw new Error(`${member.id} takes entries while a snapshot is installed`);
    }
    if (member.role !== 'follower') {
      throw new Error(`${member.id} is ${member.role} while a snapshot is installed`);
    }
  }

  /** Applies, and loads from the disk what the core asks for. */
  #serve(member: SimulatedMember, ready: Ready): void {
    const events: RaftEvent[] = [];
    if (ready.commitIndex > member.appliedIndex) {
      this.#note(`  ${member.id} applies through ${ready.commitIndex}`);
      member.appliedIndex = ready.commitIndex;
      events.push({ type: 'applied', index: ready.commitIndex });
    }
    for (const load of ready.loads) {
      this.#note(`  ${member.id} loads from ${load.fromIndex} for ${load.member}`);
      const read = (): RaftEvent => {
        const isGone = load.fromIndex <= member.durable.logStart.index;
        const to = isGone ? 0 : Math.min(load.toIndex, load.fromIndex + 1);
        const entries = member.log.slice(load.fromIndex - 1, to);
        return { type: 'loaded', member: load.member, entries };
      };
      if (this.#setup.slowIo ?? false) member.io.push(read);
      else events.push(read());
    }
    if (events.length > 0) this.step(member.id, ...events);
  }

  #post(messages: readonly Message[]): void {
    this.network.push(...messages);
  }

  #note(line: string): void {
    this.transcript?.push(line);
  }
}

function applyEntries(log: Entry[], entries: readonly Entry[]): void {
  const first = entries[0];
  if (first === undefined) return;
  if (first.index > log.length + 1) throw new Error('a write leaves a gap');
  log.length = first.index - 1;
  log.push(...entries);
}
