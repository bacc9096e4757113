import type {
  ConfigurationAnswer,
  CoreEvent,
  DiskWrite,
  LoadRequest,
  LogIndex,
  Message,
  ProposalAnswer,
  ReadAnswer,
  Ready,
  SnapshotOffer,
  SnapshotRequest,
  TransferAnswer,
} from './types.js';

const NONE: readonly never[] = [];

/** Gathers the effects of one step. */
export class Outbox {
  #messages: Message[] = [];
  #messagesAfterPersist: Message[] = [];
  #proposals: ProposalAnswer[] = [];
  #reads: ReadAnswer[] = [];
  #loads: LoadRequest[] = [];
  #configurationChanges: ConfigurationAnswer[] = [];
  #transfers: TransferAnswer[] = [];
  #snapshots: SnapshotRequest[] = [];
  #install: SnapshotOffer | null = null;
  #events: CoreEvent[] = [];

  send(message: Message): void {
    this.#messages.push(message);
  }

  sendAfterPersist(message: Message): void {
    this.#messagesAfterPersist.push(message);
  }

  answerProposal(answer: ProposalAnswer): void {
    this.#proposals.push(answer);
  }

  answerRead(answer: ReadAnswer): void {
    this.#reads.push(answer);
  }

  load(request: LoadRequest): void {
    this.#loads.push(request);
  }

  answerConfigurationChange(answer: ConfigurationAnswer): void {
    this.#configurationChanges.push(answer);
  }

  answerTransfer(answer: TransferAnswer): void {
    this.#transfers.push(answer);
  }

  sendSnapshot(request: SnapshotRequest): void {
    this.#snapshots.push(request);
  }

  install(snapshot: SnapshotOffer): void {
    this.#install = snapshot;
  }

  tell(event: CoreEvent): void {
    this.#events.push(event);
  }

  /** All effects; the box is empty afterwards. */
  take(write: DiskWrite | null, commitIndex: LogIndex): Ready {
    const ready: Ready = {
      messages: orNone(this.#messages),
      write,
      messagesAfterPersist: orNone(this.#messagesAfterPersist),
      commitIndex,
      proposals: orNone(this.#proposals),
      reads: orNone(this.#reads),
      loads: orNone(this.#loads),
      configurationChanges: orNone(this.#configurationChanges),
      transfers: orNone(this.#transfers),
      snapshots: orNone(this.#snapshots),
      install: this.#install,
      events: orNone(this.#events),
    };
    if (ready.messages !== NONE) this.#messages = [];
    if (ready.messagesAfterPersist !== NONE) this.#messagesAfterPersist = [];
    if (ready.proposals !== NONE) this.#proposals = [];
    if (ready.reads !== NONE) this.#reads = [];
    if (ready.loads !== NONE) this.#loads = [];
    if (ready.configurationChanges !== NONE) this.#configurationChanges = [];
    if (ready.transfers !== NONE) this.#transfers = [];
    if (ready.snapshots !== NONE) this.#snapshots = [];
    this.#install = null;
    if (ready.events !== NONE) this.#events = [];
    return ready;
  }
}

function orNone<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NONE : list;
}
