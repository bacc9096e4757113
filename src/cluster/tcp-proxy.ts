import { createServer, type Server, Socket } from 'node:net';
import { assert } from '../base/assert.js';
import { Flow, type LinkShape } from './flow.js';

/**
 * - `open`: bytes pass
 * - `cut`: as a cable that is cut: nothing passes, nobody is told, and what is on its way waits
 * - `reset`: connections are reset, new ones too
 * - `half-open`: as when a machine in between loses its memory of the connections: nothing passes, nobody is told, also when it
 *   is mended; new ones come about then
 */
export type ProxyState = 'open' | 'cut' | 'reset' | 'half-open';

/** Of a connection that waits for its other half, so much is taken in; HTTP/2 sends no more unasked. */
const WAITING_BYTES_MAX = 128 * 1024;

/**
 * A place on 127.0.0.1 that passes TCP connections on to another one, and can be made to stop.
 *
 * Each direction can be cut alone. A cut connection stays open at both ends. What was sent into it
 * arrives when it is healed, as over TCP, which sends again until its ends give up; so does the end of a
 * connection that one side closes meanwhile. A connection that is opened meanwhile is taken, but hears
 * nothing, and reaches the other side when it is healed, unless it has given up by then.
 */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #target: number | null;
  #gates: Gates = { up: 'open', down: 'open' };

  private constructor(target: number | null) {
    this.#target = target;
    // Whether the other half is there to be ended is for us to say.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (dialled) => {
      this.#accept(dialled);
    });
  }

  /** @param target port on 127.0.0.1; `null`: not known yet, connections are reset */
  static async open(target: number | null): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen({ port: 0, host: '127.0.0.1' }, () => {
        proxy.#server.off('error', reject);
        resolve();
      });
    });
    return proxy;
  }

  /** `host:port` to connect to. */
  get address(): string {
    const address = this.#server.address();
    assert(address !== null && typeof address === 'object', 'a proxy listens until it is closed');
    return `127.0.0.1:${address.port}`;
  }

  /** Connections that it holds, alive or cut. */
  get connections(): number {
    return this.#pairs.size;
  }

  set target(port: number | null) {
    this.#target = port;
  }

  /** @param gates `up`: from who dials to the target; `down`: back */
  set(gates: Gates): void {
    this.#gates = gates;
    for (const pair of [...this.#pairs]) pair.set(gates);
  }

  /** Resets all connections, takes no more. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const pair of [...this.#pairs]) pair.destroy();
    await closed;
  }

  #accept(dialled: Socket): void {
    const target = this.#target;
    if (target === null) {
      ignoreErrors(dialled);
      dialled.resetAndDestroy();
      return;
    }
    const pair = new Pair(dialled, target, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
    pair.set(this.#gates);
  }
}

export interface Gates {
  readonly up: ProxyState;
  readonly down: ProxyState;
  /** What becomes of the bytes that pass. Default: nothing. */
  readonly upShape?: LinkShape | null;
  readonly downShape?: LinkShape | null;
}

/**
 * Two connections that are one.
 *
 * A socket that is paused still reads a little, and so comes to know that its other end is gone: that is
 * kept to ourselves as long as the direction from there is cut.
 */
class Pair {
  readonly #dialled: Socket;
  readonly #target: number;
  readonly #onGone: () => void;
  #waiting: { readonly chunks: Buffer[]; bytes: number } | null = { chunks: [], bytes: 0 };
  #up: Flow | null = null;
  #down: Flow | null = null;
  #gone = false;
  /** Nobody will ever hear anything of it. */
  #forgotten = false;

  constructor(dialled: Socket, target: number, onGone: () => void) {
    this.#dialled = dialled;
    this.#target = target;
    this.#onGone = onGone;
    dialled.on('data', this.#takeIn);
    // Who gives up waiting has never been there for the other side.
    for (const event of ['end', 'error', 'close']) {
      dialled.on(event, () => {
        if (this.#waiting !== null) this.destroy();
      });
    }
  }

  set(gates: Gates): void {
    if (gates.up === 'reset' || gates.down === 'reset') {
      this.destroy();
      return;
    }
    const isHalfOpen = gates.up === 'half-open' || gates.down === 'half-open';
    this.#forgotten ||= isHalfOpen && this.#waiting === null;
    // Packets must go both ways for a connection to come about.
    if (this.#waiting !== null && gates.up === 'open' && gates.down === 'open') this.#connect();
    this.#up?.set(gates.up === 'open' && !this.#forgotten, gates.upShape ?? null);
    this.#down?.set(gates.down === 'open' && !this.#forgotten, gates.downShape ?? null);
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#dialled.resetAndDestroy();
    this.#down?.from.resetAndDestroy();
    this.#up?.stop();
    this.#down?.stop();
    this.#onGone();
  }

  readonly #takeIn = (chunk: Buffer): void => {
    if (this.#waiting === null) return;
    this.#waiting.chunks.push(chunk);
    this.#waiting.bytes += chunk.byteLength;
    if (this.#waiting.bytes > WAITING_BYTES_MAX) this.#dialled.pause();
  };

  #connect(): void {
    const reached = new Socket({ allowHalfOpen: true }).setNoDelay(true);
    reached.connect({ port: this.#target, host: '127.0.0.1' });
    for (const chunk of this.#waiting?.chunks ?? []) reached.write(chunk);
    this.#waiting = null;
    this.#dialled.off('data', this.#takeIn);
    this.#up = new Flow(this.#dialled, reached, () => this.destroy());
    this.#down = new Flow(reached, this.#dialled, () => this.destroy());
  }
}

/** What happens to a connection that is being thrown away is nobody's business. */
function ignoreErrors(socket: Socket): void {
  socket.on('error', () => {});
}
