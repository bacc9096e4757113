import type { BalsaError } from '../base/errors.js';
import type { MemberAddress } from '../rpc/protocol.js';

/** Most addresses that replicas can make a client remember. */
const LEARNT_MAX = 64;

/** A place where a replica may be, and how trying to reach it went. */
export interface Endpoint {
  readonly address: string;
  /** Named by the caller, not only by a replica. */
  readonly configured: boolean;
  /** Of the replica there, as far as known. */
  name: string | null;
  /** Tries in a row that did not lead where they should. */
  failures: number;
  /** Not to be tried before. */
  notBeforeMs: number;
  triedMs: number;
  /** Since when no try has led to a hello; `null`: the last one did, or is too long ago. */
  silentSinceMs: number | null;
  lastError: BalsaError | null;
  /** Whom the replica named as leader last; `null`: it knew none; `undefined`: it was never heard. */
  leader: string | null | undefined;
  /** When it did. */
  saidMs: number;
}

/** All places known: those the caller named, and those that the replicas name. */
export class Endpoints {
  readonly #byAddress = new Map<string, Endpoint>();

  constructor(configured: readonly string[]) {
    for (const address of configured) this.#add(address, true);
  }

  all(): readonly Endpoint[] {
    return [...this.#byAddress.values()];
  }

  at(address: string): Endpoint | undefined {
    return this.#byAddress.get(address);
  }

  /**
   * The members as a replica has just named them. Those that a leader no longer names are forgotten; any other may lag, or be a member no
   * more itself: what it says comes beside what is known.
   */
  learn(members: readonly MemberAddress[], byLeader: boolean): void {
    const named = new Map(members.slice(0, LEARNT_MAX).map((m) => [m.address, m.name]));
    for (const { configured, address } of this.all()) {
      if (byLeader && !configured && !named.has(address)) this.#byAddress.delete(address);
    }
    for (const [address, name] of named) {
      const known = this.#byAddress.get(address);
      if (known === undefined) {
        if (byLeader || this.#byAddress.size < LEARNT_MAX) this.#add(address, false).name = name;
      } else if (byLeader || known.name === null || known.lastError !== null) known.name = name;
    }
  }

  /** Somebody else has said since then that this one leads. */
  isNamed(leader: string, sinceMs: number): boolean {
    return this.all().some(
      ({ name, saidMs, leader: named }) => named === leader && name !== leader && saidMs >= sinceMs,
    );
  }

  /** Where this replica is, the address it advertises first. */
  named(name: string): readonly Endpoint[] {
    return this.all().filter((endpoint) => endpoint.name === name);
  }

  #add(address: string, configured: boolean): Endpoint {
    const endpoint: Endpoint = {
      address,
      configured,
      name: null,
      failures: 0,
      notBeforeMs: Number.NEGATIVE_INFINITY,
      triedMs: Number.NEGATIVE_INFINITY,
      silentSinceMs: null,
      lastError: null,
      leader: undefined,
      saidMs: Number.NEGATIVE_INFINITY,
    };
    this.#byAddress.set(address, endpoint);
    return endpoint;
  }
}

/** What is known of it, for messages. */
export function describeEndpoint({ address, name, lastError, leader, triedMs }: Endpoint): string {
  if (lastError !== null) {
    const why = lastError.message;
    return why.startsWith(address) ? why : `${address}: ${why}`;
  }
  if (leader === undefined) {
    return `${address}: ${triedMs === Number.NEGATIVE_INFINITY ? 'not asked' : 'asked, no answer yet'}`;
  }
  if (leader === null) return `${name} at ${address}: answers, knows no leader`;
  return `${name} at ${address}: answers, ${leader === name ? 'leads' : `says that ${leader} leads`}`;
}
