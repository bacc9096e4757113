import type { ReplicaExit } from '../../src/cluster/local-cluster.js';

/** A replica that ended although no fault was to make it, or otherwise than the fault makes it. */
export interface StrangeEnd {
  readonly name: string;
  readonly how: string;
  readonly log: string;
}

/** How a process ended. */
export interface End extends ReplicaExit {
  /** The code of the error that it named last; `null`: it named none. */
  readonly error: string | null;
  readonly log: string;
}

/** @param log the last lines that it wrote */
export function endOf({ code, signal }: ReplicaExit, log: string): End {
  const errors = [...log.matchAll(/^error ([A-Z_]+):/gm)];
  return { code, signal, error: errors.at(-1)?.[1] ?? null, log };
}

/** That of a process that was killed, or asked to stop, and had nothing against it. */
export function isOrderly({ code, signal }: End): boolean {
  return code === null ? signal === 'SIGKILL' || signal === 'SIGTERM' : code === 0 || code === 130;
}

/** What makes a replica end by itself. */
export type Cause =
  /** The disk answers with an error. */
  | 'disk-failed'
  /** There is no space left on it. */
  | 'disk-full'
  /** It kills itself at a named place. */
  | 'failpoint';

type Fit = Pick<End, 'error' | 'signal'>;

const FITS: { readonly [K in Cause | 'damage' | 'leaving']: (end: Fit) => boolean } = {
  'disk-failed': ({ error }) => error === 'DISK_FAILED',
  'disk-full': ({ error }) => error === 'DISK_FULL',
  failpoint: ({ error, signal }) => error === null && signal === 'SIGKILL',
  damage: ({ error }) => DAMAGE.has(error ?? ''),
  leaving: ({ error }) => error === 'MEMBER_REMOVED',
};

/** What a replica finds whose data are damaged. That a rule of its own is broken it must never find. */
const DAMAGE: ReadonlySet<string> = new Set([
  ...['WAL_CORRUPT', 'STATE_CORRUPT', 'DELTAS_CORRUPT', 'STATE_DIVERGED'],
]);

/** Which replicas may end by themselves, for what, and which have ended for something else. */
export class Ends {
  readonly strange: StrangeEnd[] = [];
  /** By name: which incarnation has the damaged data; `null`: none that is known. */
  readonly #damaged = new Map<string, string | null>();
  readonly #leaving = new Set<string>();
  /** By name: what a fault is to make it end by, until it is started again or all replicas serve again. */
  readonly #hit = new Map<string, Cause>();

  damaged(name: string, incarnation: string | null): void {
    this.#damaged.set(name, incarnation);
  }

  isDamaged(name: string): boolean {
    return this.#damaged.has(name);
  }

  /**
   * It has all its data.
   * @returns has it begun anew, so that nothing is left of what was damaged?
   */
  isWhole(name: string, incarnation: string): boolean {
    const damaged = this.#damaged.get(name);
    if (damaged === undefined || damaged === null || damaged === incarnation) return false;
    return this.#damaged.delete(name);
  }

  leaves(name: string): void {
    this.#leaving.add(name);
  }

  hit(name: string, cause: Cause): void {
    this.#hit.set(name, cause);
  }

  /** Its next life knows nothing of how this one ended. */
  begins(name: string): void {
    this.#hit.delete(name);
  }

  /** Those that are there have lived through what hit them. */
  recovered(): void {
    this.#hit.clear();
  }

  /** It is another one than the last that had this name. */
  isNew(name: string): void {
    this.#damaged.delete(name);
    this.#leaving.delete(name);
    this.#hit.delete(name);
  }

  /** @returns was it to end so? If not, it is noted. */
  judge(name: string, end: End): boolean {
    const hit = this.#hit.get(name);
    const isFit =
      (hit !== undefined && FITS[hit](end)) ||
      (this.#damaged.has(name) && FITS.damage(end)) ||
      (this.#leaving.has(name) && FITS.leaving(end));
    if (isFit) return true;
    const how = `${end.signal ?? `code ${end.code}`}${end.error === null ? '' : `, ${end.error}`}`;
    this.strange.push({ name, how, log: end.log });
    return false;
  }
}
