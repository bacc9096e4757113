import { seededRandom } from '../../src/base/random.js';
import { RaftNode } from '../../src/raft/raft-node.js';
import type {
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
import { describeMessage, describeWrite } from './transcript.js';

/** A cluster of cores on a network and disks that do only what they are told, in one order. */

export interface ClusterSetup {
  readonly ids: readonly MemberId[];
  readonly seed: number;
  readonly electionTicks?: number;
  readonly heartbeatTicks?: number;
  readonly limits?: Partial<RaftOptions['limits']>;
  /** Logs to begin with, as entries; terms are those of the last entry unless given. */
  readonly logs?: Readonly<Record<MemberId, readonly Entry[]>>;
  readonly terms?: Readonly<Record<MemberId, number>>;
}

export class Cluster {
  readonly members = new Map<MemberId, SimulatedMember>();
  readonly checker: SafetyChecker;
  network: Message[] = [];
  /** Lines of what happened, while someone writes them down. */
  transcript: string[] | null = null;
  /** Pairs that hear nothing of each other, as `from>to`. */
  readonly cut = new Set<string>();
  #nextId = 1;
  readonly #setup: ClusterSetup;

  constructor(setup: ClusterSetup) {
    this.#setup = setup;
    this.checker = new SafetyChecker(setup.ids);
    for (const id of setup.ids) {
      const entries = setup.logs?.[id] ?? [];
      const term = setup.terms?.[id] ?? entries.at(-1)?.term ?? 0;
      this.members.set(id, new SimulatedMember(id, entries, term));
      this.checker.registerEntries(entries, null);
    }
    for (const id of setup.ids) this.start(id);
  }

  get ids(): readonly MemberId[] {
    return this.#setup.ids;
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
    const { hardState, entries, appliedIndex } = member.durable;
    member.starts += 1;
    member.log = [...entries];
    member.pending = [];
    member.appliedIndex = appliedIndex;
    member.role = 'follower';
    const seed = this.#setup.seed * 1000 + this.ids.indexOf(id) * 100 + member.starts;
    // Sometimes the memory holds only a part of the log, so that loading is exercised, too.
    const cached = Math.floor(entries.length / member.starts);
    member.node = new RaftNode(
      {
        id,
        electionTicks: this.#setup.electionTicks ?? 10,
        heartbeatTicks: this.#setup.heartbeatTicks ?? 2,
        random: seededRandom(seed),
        limits: { ...LIMITS, ...this.#setup.limits },
      },
      {
        hardState,
        configuration: { index: 0, voters: this.ids, votersOutgoing: [], learners: [] },
        logStart: { index: 0, term: 0 },
        terms: runsOf(entries.map((e) => e.term)),
        lastIndex: entries.length,
        tail: entries.slice(entries.length - cached),
        configurationEntries: [],
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
    const flushed = member.durable.entries.length;
    member.durable.appliedIndex = Math.max(
      member.durable.appliedIndex,
      Math.min(member.appliedIndex, flushed) - appliedBehind,
    );
    member.node = null;
    member.pending = [];
    member.reads.clear();
    this.#note(`${id} crashes`);
  }

  step(id: MemberId, ...events: RaftEvent[]): Ready | null {
    const member = this.member(id);
    if (member.node === null) return null;
    const ready = member.node.step(events);
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
    this.step(id, { type: 'read', id: number });
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
      if (busy === undefined) return;
      this.persist(busy, 1);
    }
    throw new Error('the cluster does not come to rest');
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

  /** Of the oldest write under way, the first records reach the disk: hard state, then entries. */
  #tear(member: SimulatedMember, records: number): void {
    const write = member.pending[0]?.write;
    if (write === undefined || records === 0) return;
    if (write.hardState !== null) member.durable.hardState = write.hardState;
    const entries = write.entries.slice(0, write.hardState === null ? records : records - 1);
    applyEntries(member.durable.entries, entries);
  }

  #carryOut(member: SimulatedMember, ready: Ready): void {
    for (const event of ready.events) {
      if (event.type !== 'role') continue;
      member.role = event.role;
      const leader = event.leader === null ? '' : `, leader ${event.leader}`;
      this.#note(
        `  ${member.id} is ${event.role} in term ${event.term}${leader} (${event.reason})`,
      );
    }
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
    this.checker.sent(member, ready.messages);
    this.checker.stepped(member, ready, [...this.members.values()]);
    for (const answer of ready.reads) {
      if (answer.ok) this.#note(`  ${member.id} may read at index ${answer.index}`);
      else this.#note(`  ${member.id} may not read: ${answer.reason}`);
      member.answers.push(answer);
    }
    this.#serve(member, ready);
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
      const entries = member.log.slice(
        load.fromIndex - 1,
        Math.min(load.toIndex, load.fromIndex + 1),
      );
      events.push({ type: 'loaded', member: load.member, entries });
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
