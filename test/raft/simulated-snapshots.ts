import { unpackConfiguration } from '../../src/raft/configuration-codec.js';
import type { RaftNode } from '../../src/raft/raft-node.js';
import type {
  Configuration,
  LogIndex,
  LogPosition,
  MemberId,
  SnapshotOffer,
} from '../../src/raft/types.js';
import type { Cluster } from './cluster-harness.js';
import type { SimulatedMember } from './simulated-member.js';

/** A snapshot on its way. */
interface Sending {
  readonly offer: SnapshotOffer;
  readonly to: MemberId;
  /** The start of the sender's process: a later one knows nothing of it. */
  readonly start: number;
}

/**
 * What the shell does about snapshots: sends, receives, installs them in steps with room for a crash
 * between, and gives up the log. States are not looked at: the state after an entry is the entry's index.
 */
export class SimulatedSnapshots {
  sendings: Sending[] = [];
  /** How often each thing happened. */
  readonly counts = { sent: 0, installed: 0, resumed: 0, compacted: 0 };
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The core of `from` asks for it. One that is under way to `to` will do. */
  request(from: SimulatedMember, to: MemberId, node: RaftNode): void {
    const { id, starts, log, durable } = from;
    const { term, flushedIndex } = node;
    const isUnderWay = this.sendings.some(
      (s) => s.offer.from === id && s.start === starts && s.to === to,
    );
    if (isUnderWay) return;
    const index = Math.max(durable.logStart.index, Math.min(from.appliedIndex, flushedIndex));
    const position = { index, term: log[index - 1]?.term ?? 0 };
    const configuration = this.configurationAt(from, index);
    this.#cluster.note(`  ${id} sends ${to} a snapshot ${index}:${position.term}`);
    const offer = { from: id, term, position, configuration };
    this.sendings.push({ offer, to, start: starts });
    this.counts.sent += 1;
  }

  /** All of it has come. `keep`: the end of it comes once more, later; `ack`: the sender hears of it. */
  deliver(at: number, how: { readonly keep?: boolean; readonly ack?: boolean } = {}): void {
    const sending = this.sendings[at];
    if (sending === undefined) return;
    const { offer, to } = sending;
    const isCut = this.#cluster.cut.has(`${offer.from}>${to}`);
    if (isCut || this.#cluster.member(to).node === null) {
      this.fail(at);
      return;
    }
    this.sendings.splice(at, 1);
    if (how.keep ?? false) this.sendings.push(sending);
    this.#cluster.note(`${offer.from} -> ${to}  snapshot ${offer.position.index} is complete`);
    this.#cluster.step(to, { type: 'snapshot-received', snapshot: offer });
    this.#answer(sending, (how.ack ?? true) ? offer.position.index : null);
  }

  fail(at: number): void {
    const [sending] = this.sendings.splice(at, 1);
    if (sending === undefined) return;
    this.#cluster.note(`${sending.offer.from} -> ${sending.to}  snapshot breaks off`);
    this.#answer(sending, null);
  }

  /** One step further: the state is switched, the log is reset, the core is told. */
  install(id: MemberId): void {
    const member = this.#cluster.member(id);
    const { installing, durable } = member;
    if (installing === null || this.#waitsForDisk(member)) return;
    const { position, configuration } = installing.offer;
    if (installing.stage === 'received') {
      installing.stage = 'switched';
      durable.appliedIndex = position.index;
      durable.installed = position;
      if (configuration.index === 0) durable.formed = configuration;
      this.#cluster.note(`${id} has switched to state ${position.index}`);
    } else if (installing.stage === 'switched') {
      installing.stage = 'reset';
      this.#reset(member, position);
      this.#cluster.note(`${id} has reset its log to ${position.index}:${position.term}`);
    } else {
      member.installing = null;
      member.log = [...durable.entries];
      member.appliedIndex = position.index;
      this.counts.installed += 1;
      this.#cluster.step(id, { type: 'snapshot-installed', position });
    }
  }

  /** At a start: a crash came between the switch of the state and the reset of the log. */
  finishInstall(member: SimulatedMember): void {
    const { installed, entries } = member.durable;
    if (installed === null || entries[installed.index - 1]?.term === installed.term) return;
    this.#reset(member, installed);
    this.counts.resumed += 1;
  }

  /** The state is synced, and the log given up but for `trailing` entries; the core hears of it. */
  compact(id: MemberId, trailing: number, late = false): void {
    const member = this.#cluster.member(id);
    const { node, durable } = member;
    if (node === null || member.installing !== null) return;
    const index = Math.min(node.appliedIndex, node.flushedIndex) - trailing;
    if (index <= durable.logStart.index) return;
    durable.appliedIndex = Math.max(durable.appliedIndex, index);
    durable.logStart = { index, term: durable.entries[index - 1]?.term ?? 0 };
    this.counts.compacted += 1;
    this.#cluster.note(`${id} gives up its log through ${index}`);
    if (late) member.io.push(() => ({ type: 'compact', index }));
    else this.#cluster.step(id, { type: 'compact', index });
  }

  /** What the state after entry `index` says of the members. */
  configurationAt({ log, durable }: SimulatedMember, index: LogIndex): Configuration {
    const entries = log.length >= index ? log : durable.entries;
    const entry = entries.findLast((e) => e.type === 'configuration' && e.index <= index);
    if (entry !== undefined) return unpackConfiguration(entry.payload, entry.index);
    return durable.formed;
  }

  #waitsForDisk({ installing, pending }: SimulatedMember): boolean {
    const first = pending[0]?.write.sequence ?? Number.POSITIVE_INFINITY;
    return first <= (installing?.behindWrite ?? 0);
  }

  /** Entries behind the place stay only if the log holds the place. */
  #reset({ durable, id }: SimulatedMember, position: LogPosition): void {
    const { checker } = this.#cluster;
    const holds = durable.entries[position.index - 1]?.term === position.term;
    const behind = holds ? durable.entries.slice(position.index) : [];
    checker.installed(id, position);
    durable.entries = [...checker.committedEntries.slice(0, position.index), ...behind];
    durable.logStart = position;
  }

  #answer({ offer, to, start }: Sending, index: LogIndex | null): void {
    const sender = this.#cluster.member(offer.from);
    if (sender.node === null || sender.starts !== start) return;
    this.#cluster.step(offer.from, { type: 'snapshot-sent', member: to, index });
  }
}
