import { connect } from '../client/client.js';
import type { ReplicaStatus } from '../rpc/protocol.js';

const PROBE_TIMEOUT_MS = 1000;

type Connection = Awaited<ReturnType<typeof connect>>;

/** Asks one replica how it is, over one connection for as long as that lasts. */
export class StatusProbe {
  readonly #address: string;
  #connection: Promise<Connection> | null = null;

  constructor(address: string) {
    this.#address = address;
  }

  /** @throws BalsaError when it does not answer within a second */
  async ask(): Promise<ReplicaStatus> {
    this.#connection ??= this.#connect();
    const mine = this.#connection;
    try {
      return await (await mine).status();
    } catch (error) {
      if (this.#connection === mine) await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    // One that could not be opened needs no closing; `ask` has reported why.
    const open = await connection?.catch(() => null);
    await open?.close();
  }

  #connect(): Promise<Connection> {
    return connect({
      endpoints: [this.#address],
      followLeader: false,
      connectTimeoutMs: PROBE_TIMEOUT_MS,
      timeoutMs: PROBE_TIMEOUT_MS,
      clientName: 'local-cluster',
    });
  }
}
