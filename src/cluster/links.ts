import { BalsaError } from '../base/errors.js';
import type { LinkShape } from './flow.js';
import type { Network, Whereabouts } from './network.js';
import { type ProxyState, TcpProxy } from './tcp-proxy.js';

/** How a link fails. */
export interface CutOptions {
  /**
   * `cut` (default): as a cable that is cut. Nothing passes and nobody is told; connections stay open, and
   * what is sent into them arrives after `heal`, if it has not been given up. `reset`: connections are
   * reset at once, and so are new ones. `half-open`: as `cut`, but nothing ever passes again on connections that there were.
   */
  readonly how?: 'cut' | 'reset' | 'half-open' | undefined;
}

/** Where a replica listens. */
interface Listening {
  readonly name: string;
  /** `host:port` */
  readonly address: string;
}

/**
 * The cables between places, each a proxy that can be cut: from every replica to every other one, and
 * from places where only clients are to every replica.
 *
 * What is cut is a direction: `a` to `b` stands for all bytes from `a` to `b`, whichever of the two has
 * dialled.
 */
export class Links implements Network {
  readonly #spareNames: readonly string[];
  readonly #addresses = new Map<string, string>();
  /** By who dials, then by replica. */
  readonly #proxies = new Map<string, Map<string, TcpProxy>>();
  /** What does not pass: from, then to. */
  readonly #faults = new Map<string, Map<string, ProxyState>>();
  /** What passes badly: from, then to. */
  readonly #shapes = new Map<string, Map<string, LinkShape>>();

  /** @param spareNames of replicas that may come later: links to them are there from the beginning */
  constructor(spareNames: readonly string[]) {
    this.#spareNames = spareNames;
  }

  whereabouts(): Promise<Whereabouts> {
    return Promise.resolve({ host: '127.0.0.1', launcher: [] });
  }

  /** A replica is there, and will dial others. */
  async addReplica({ name, address }: Listening): Promise<void> {
    this.#addresses.set(name, address);
    for (const links of this.#proxies.values()) {
      const proxy = links.get(name);
      if (proxy !== undefined) proxy.target = portOf(address);
    }
    await this.#open(name);
  }

  /** It is gone for good. */
  async removeReplica(name: string): Promise<void> {
    this.#addresses.delete(name);
    const own = [...(this.#proxies.get(name)?.values() ?? [])];
    this.#proxies.delete(name);
    for (const links of this.#proxies.values()) {
      const proxy = links.get(name);
      if (proxy !== undefined) proxy.target = null;
    }
    await Promise.all(own.map((proxy) => proxy.close()));
  }

  /** A place where clients are; does nothing when it is known. */
  async addPlace(name: string): Promise<void> {
    if (!this.#proxies.has(name)) await this.#open(name);
  }

  /** Where this replica dials the others. */
  routesOf(name: string): Readonly<Record<string, string>> {
    const links = this.#proxies.get(name) ?? new Map<string, TcpProxy>();
    return Object.fromEntries([...links].map(([to, proxy]) => [to, proxy.address]));
  }

  /** Where a client at this place dials the replica that listens at `address`. */
  through(place: string, address: string): string {
    const [name = ''] = [...this.#addresses].find(([, known]) => known === address) ?? [];
    return this.#proxies.get(place)?.get(name)?.address ?? address;
  }

  /** What goes from one place to another; the way back is not touched. */
  cut(from: string, to: string, { how = 'cut' }: CutOptions = {}): void {
    this.#check([from, to]);
    this.#fail(from, to, how);
    this.#apply();
  }

  /** All that goes to a place or comes from it. */
  isolate(name: string, { how = 'cut' }: CutOptions = {}): void {
    this.#check([name]);
    for (const other of this.#places()) {
      if (other === name) continue;
      this.#fail(name, other, how);
      this.#fail(other, name, how);
    }
    this.#apply();
  }

  /** All between different groups. Replaces what was cut before. */
  partition(groups: readonly (readonly string[])[], { how = 'cut' }: CutOptions = {}): void {
    const named = groups.flat();
    this.#check(named);
    const missing = [...this.#addresses.keys()].filter((name) => !named.includes(name));
    if (missing.length > 0) throw invalid(`no group has ${missing.join(', ')}`);
    if (new Set(named).size < named.length) throw invalid('a place can be in one group only');
    this.#faults.clear();
    for (const group of groups) {
      const others = named.filter((name) => !group.includes(name));
      for (const from of group) for (const to of others) this.#fail(from, to, how);
    }
    this.#apply();
  }

  /** What goes from one place to another passes badly; `null`: as it should. */
  shape(from: string, to: string, shape: LinkShape | null): void {
    this.#check([from, to]);
    const shapes = this.#shapes.get(from) ?? new Map<string, LinkShape>();
    if (shape === null) shapes.delete(to);
    else shapes.set(to, shape);
    this.#shapes.set(from, shapes);
    this.#apply();
  }

  heal(): void {
    this.#faults.clear();
    this.#shapes.clear();
    this.#apply();
  }

  async close(): Promise<void> {
    const proxies = [...this.#proxies.values()].flatMap((links) => [...links.values()]);
    this.#proxies.clear();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }

  async #open(place: string): Promise<void> {
    const links = new Map<string, TcpProxy>();
    this.#proxies.set(place, links);
    for (const name of new Set([...this.#addresses.keys(), ...this.#spareNames])) {
      if (name === place) continue;
      const address = this.#addresses.get(name);
      links.set(name, await TcpProxy.open(address === undefined ? null : portOf(address)));
    }
    this.#apply();
  }

  #places(): Iterable<string> {
    return new Set([...this.#proxies.keys(), ...this.#addresses.keys()]);
  }

  #check(names: readonly string[]): void {
    const known = [...this.#places()];
    const unknown = names.find((name) => !known.includes(name));
    if (unknown === undefined) return;
    throw invalid(`there is no place ${unknown}; there are ${known.join(', ')}`);
  }

  #fail(from: string, to: string, how: ProxyState): void {
    const faults = this.#faults.get(from) ?? new Map<string, ProxyState>();
    this.#faults.set(from, faults.set(to, how));
  }

  #apply(): void {
    for (const [place, links] of this.#proxies) {
      for (const [name, proxy] of links) {
        proxy.set({
          up: this.#state(place, name),
          down: this.#state(name, place),
          upShape: this.#shapes.get(place)?.get(name) ?? null,
          downShape: this.#shapes.get(name)?.get(place) ?? null,
        });
      }
    }
  }

  #state(from: string, to: string): ProxyState {
    return this.#faults.get(from)?.get(to) ?? 'open';
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message);
}
