import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { LogIndex, MemberId, Term } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import {
  type BackupRequest,
  packSnapshotFrame,
  unpackSnapshotFrame,
} from '../rpc/snapshot-frames.js';
import { agreeOnVersion, OWN_VERSIONS } from '../rpc/version.js';
import { toWireError } from '../rpc/wire-error.js';
import type { ByteRate } from './byte-rate.js';
import type { OutboundSnapshot } from './outbound-snapshot.js';
import type { ChannelReceiver, ReplicaNotice } from './replica-options.js';
import type { SnapshotSource } from './snapshot-source.js';
import { SnapshotStream, type StreamResult } from './snapshot-stream.js';

export interface BackupsHost {
  readonly id: MemberId;
  readonly cluster: { readonly name: string; readonly id: string };
  readonly clock: Clock;
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  readonly source: SnapshotSource;
  readonly rate: ByteRate;
  readonly term: () => Term;
  readonly appliedIndex: () => LogIndex;
  readonly onNotice: (notice: ReplicaNotice) => void;
}

/** The state store writes what is applied about this often. While it cannot, it takes no more than a look. */
const LOOK_MS = 20;

/** Snapshots for clients that ask for a backup; any replica can send them. */
export class Backups {
  readonly #host: BackupsHost;
  readonly #running = new Set<Backup>();
  #stopped: BalsaError | null = null;

  constructor(host: BackupsHost) {
    this.#host = host;
  }

  get tasks(): Iterable<{ readonly index: LogIndex; readonly bytes: number }> {
    return this.#running;
  }

  /** A client has opened a stream for a backup. */
  accept(channel: Channel): ChannelReceiver {
    const backup = new Backup(this.#host, channel, () => this.#running.delete(backup));
    const { snapshotsAtOnceMax } = this.#host.limits;
    if (this.#stopped !== null) {
      backup.cancel(this.#stopped);
    } else if (this.#running.size >= snapshotsAtOnceMax) {
      const message = `${snapshotsAtOnceMax} backups are under way here (snapshotsAtOnceMax)`;
      backup.cancel(new BalsaError('OVERLOADED', message, { details: { retryAfterMs: 5000 } }));
    } else {
      this.#running.add(backup);
    }
    return backup;
  }

  cancelAll(reason: BalsaError): void {
    for (const backup of [...this.#running]) backup.cancel(reason);
  }

  stop(reason: BalsaError): void {
    this.#stopped = reason;
    this.cancelAll(reason);
  }
}

class Backup implements ChannelReceiver {
  readonly #host: BackupsHost;
  readonly #channel: Channel;
  readonly #onOver: () => void;
  readonly #patience: Timer;
  #wait: Timer | null = null;
  #requested = false;
  #snapshot: OutboundSnapshot | null = null;
  #stream: SnapshotStream | null = null;
  #over = false;

  constructor(host: BackupsHost, channel: Channel, onOver: () => void) {
    this.#host = host;
    this.#channel = channel;
    this.#onOver = onOver;
    const { clock, limits } = host;
    this.#patience = clock.setTimer(limits.snapshotIdleMsMax, () => {
      if (!this.#requested) this.cancel(new BalsaError('FRAME_INVALID', 'no request for a backup'));
    });
  }

  get index(): LogIndex {
    return this.#snapshot?.index ?? 0;
  }

  get bytes(): number {
    return this.#snapshot?.sums.bytes ?? 0;
  }

  receive(frame: Buffer): void {
    if (this.#over) return;
    if (this.#stream !== null) {
      this.#stream.receive(frame);
      return;
    }
    try {
      const first = unpackSnapshotFrame(frame);
      if (first.type !== 'request' || this.#requested) {
        throw new BalsaError('FRAME_INVALID', `a request for a backup was due, not ${first.type}`);
      }
      this.#requested = true;
      this.#checkRequest(first.request);
      this.#open();
    } catch (error) {
      this.cancel(asBalsaError(error));
    }
  }

  closed(): void {
    this.#stream?.closed('the client has gone');
    this.#end();
  }

  cancel(reason: BalsaError): void {
    if (this.#over) return;
    if (this.#stream !== null) {
      this.#stream.cancel(reason);
    } else {
      this.#channel.send(packSnapshotFrame({ type: 'refusal', error: toWireError(reason) }));
      this.#channel.end();
    }
    this.#notice('cancelled', reason.message);
    this.#end();
  }

  #checkRequest(request: BackupRequest): void {
    const { cluster } = this.#host;
    agreeOnVersion(request, request.clientName);
    if (request.clusterId === null || request.clusterId === cluster.id) return;
    throw new BalsaError(
      'CLUSTER_MISMATCH',
      `this replica belongs to cluster ${cluster.name} with id ${cluster.id}, not ${request.clusterId}`,
    );
  }

  /** What was applied when the backup was asked for must be in it: it may not be on disk yet. */
  #open(neededIndex = this.#host.appliedIndex()): void {
    const { source, clock } = this.#host;
    if (!source.reaches(neededIndex)) {
      this.#wait = clock.setTimer(LOOK_MS, () => this.#open(neededIndex));
      return;
    }
    source.open().then(
      (snapshot) => {
        this.#snapshot = snapshot;
        if (this.#over) this.#release();
        else this.#begin(snapshot);
      },
      (error: unknown) => this.cancel(asBalsaError(error)),
    );
  }

  #begin(snapshot: OutboundSnapshot): void {
    const { id, clock, limits, failpoints, rate, term } = this.#host;
    const offer = { ...OWN_VERSIONS, from: id, to: '', term: term(), header: snapshot.header };
    this.#stream = new SnapshotStream({
      ...{ snapshot, offer, clock, limits, failpoints, rate },
      onProgress: () => {},
      onResult: (result) => this.#ended(result),
    });
    this.#notice('started', null);
    this.#stream.start(this.#channel);
  }

  #ended(result: StreamResult): void {
    if (this.#over) return;
    if (result.type === 'done') this.#notice('sent', null);
    else if (result.type === 'broken') this.#notice('failed', result.reason);
    else this.#notice('failed', result.error.message);
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#patience.cancel();
    this.#wait?.cancel();
    this.#onOver();
    this.#release();
  }

  #release(): void {
    // A view that cannot be closed is of a store that failed, and that one says so itself.
    this.#snapshot?.close().catch(() => undefined);
  }

  #notice(phase: 'started' | 'sent' | 'failed' | 'cancelled', reason: string | null): void {
    const { index, bytes } = this;
    this.#host.onNotice({ type: 'snapshot-sending', phase, member: null, index, bytes, reason });
  }
}
