import type { Clock, Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Channel } from '../rpc/channel.js';
import type { MemberAddress } from '../rpc/protocol.js';
import { ClientConnection, type ClientHost } from './client-connection.js';

/** A stream that says nothing is ended. */
const HELLO_TIMEOUT_MS = 10_000;

/** All client streams of one replica. */
export class ClientService {
  readonly #host: ClientHost;
  readonly #clock: Clock;
  /** With what waits for the hello. */
  readonly #connections = new Map<ClientConnection, Timer>();
  /** Those with answers to send. */
  readonly #dirty = new Set<ClientConnection>();
  #flushPlanned = false;

  constructor(host: ClientHost, clock: Clock) {
    this.#host = host;
    this.#clock = clock;
  }

  get streams(): number {
    return this.#connections.size;
  }

  /** A client has opened a stream. */
  accept(channel: Channel): ClientConnection {
    const connection: ClientConnection = new ClientConnection({
      host: this.#host,
      ...{ stream: channel, clock: this.#clock },
      onAnswers: () => {
        this.#dirty.add(connection);
        this.#planFlush();
      },
    });
    const max = this.#host.limits.clientStreamsMax;
    if (this.#connections.size >= max) {
      const message = `the replica serves ${max} client streams already (clientStreamsMax)`;
      connection.end(new BalsaError('OVERLOADED', message, { details: { retryAfterMs: 1000 } }));
      return connection;
    }
    const helloTimer = this.#clock.setTimer(HELLO_TIMEOUT_MS, () => {
      if (connection.welcomed) return;
      connection.end(new BalsaError('FRAME_INVALID', `no hello within ${HELLO_TIMEOUT_MS} ms`));
    });
    this.#connections.set(connection, helloTimer);
    return connection;
  }

  closed(connection: ClientConnection): void {
    connection.closed();
    this.#connections.get(connection)?.cancel();
    this.#connections.delete(connection);
    this.#dirty.delete(connection);
  }

  /** Sends the answers that a turn has given. */
  flush(): void {
    for (const connection of this.#dirty) connection.flush();
    this.#dirty.clear();
  }

  leaderChanged(leader: string | null, term: number): void {
    for (const connection of this.#connections.keys()) connection.leaderChanged(leader, term);
  }

  membersChanged(members: readonly MemberAddress[]): void {
    for (const connection of this.#connections.keys()) connection.membersChanged(members);
  }

  /** Tells every client that the replica stops. */
  endAll(error: BalsaError): void {
    for (const [connection, helloTimer] of this.#connections) {
      helloTimer.cancel();
      connection.end(error);
    }
    this.#connections.clear();
  }

  /** Answers that no turn of the replica brings about (local reads, refusals) go out this way. */
  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    this.#clock.defer(() => {
      this.#flushPlanned = false;
      this.flush();
    });
  }
}
