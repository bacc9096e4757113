import { toMapKey } from '../base/bytes.js';
import { AP_PASTS, TRIGGER_BEGINNINGS } from '../base/command-versions.js';
import type {
  AliasRemoveOperation,
  AliasSetOperation,
  DeclaredProcedure,
  DeployOperation,
  Mode,
  ProcedureOperation,
} from '../base/operation.js';
import {
  ALIASES_FROM,
  ALIASES_TO,
  AP_NAMES_FROM,
  AP_NAMES_TO,
  BUNDLES_FROM,
  BUNDLES_TO,
  fromNameKey,
  toAliasKey,
  toApNameKey,
  toBundleKey,
} from './layout.js';
import { loadRecords } from './load-records.js';
import {
  type AliasVersion,
  decodeAliasRecord,
  decodeBundleRecord,
  encodeAliasRecord,
  encodeBundleRecord,
} from './procedure-record.js';
import { Refusal } from './refusal.js';
import type { StateStore, StateWrite } from './state-store.js';

export interface ProcedureBounds {
  readonly bundlesMax: number;
  readonly bundlesBytesMax: number;
  readonly aliasesMax: number;
  readonly aliasHistoryMax: number;
}

/** Which code a call runs, and as what. */
export interface ResolvedProcedure {
  readonly name: string;
  readonly mode: Mode;
  readonly hash: string;
}

/** For whoever looks what there is. */
export interface AliasState {
  readonly name: string;
  readonly alias: string;
  readonly mode: Mode;
  /** See `DeclaredProcedure`. */
  readonly trigger: string | null;
  /** The present one first; of each since when, in log time. */
  readonly versions: readonly Pick<AliasVersion, 'hash' | 'sinceMs'>[];
}

interface Bundle {
  readonly procedures: readonly DeclaredProcedure[];
  readonly bytes: number;
}

/** When something was changed, and by an entry of which version. */
interface Since extends Pick<AliasVersion, 'sinceMs' | 'sinceRevision'> {
  readonly version: number;
}

/** A procedure that is called with what is written. */
export interface TriggerState {
  readonly name: string;
  readonly prefix: string;
  readonly hash: string;
  /** It is for writes behind this revision. */
  readonly sinceRevision: number;
}

/** Of names whose past is told apart there are so many times as of aliases: beyond, each counts as one that has been of mode `ap`. */
const AP_NAMES_PER_ALIAS = 10;
const AP_NAME_MARK = new Uint8Array(0);

/** Hexadecimal digits that may stand for a whole hash. */
const HASH_PREFIX = /^[0-9a-f]{8,64}$/;

/**
 * The code that was deployed, under its hash, and what each alias of each procedure stands for. Code to which no alias
 * could go back any more is removed.
 */
export class Procedures {
  readonly #store: StateStore;
  readonly #bounds: ProcedureBounds;
  readonly #bundles = new Map<string, Bundle>();
  /** By `name@alias`. */
  readonly #aliases = new Map<string, readonly AliasVersion[]>();
  /** Names that have stood for code of mode `ap`, under any alias, for ever: a member may be away for as long. */
  readonly #apNames = new Set<string>();
  /** How many versions of aliases there are of each bundle. */
  readonly #uses = new Map<string, number>();
  #bytes = 0;
  /** By their keys in the store, as map keys. */
  readonly #staged = new Map<string, StateWrite>();

  private constructor(store: StateStore, bounds: ProcedureBounds) {
    this.#store = store;
    this.#bounds = bounds;
  }

  /** The registry as the store has it. */
  static async load(store: StateStore, bounds: ProcedureBounds): Promise<Procedures> {
    const procedures = new Procedures(store, bounds);
    const bundles = { from: BUNDLES_FROM, to: BUNDLES_TO };
    await loadRecords(store, bundles, (storeKey, bytes) => {
      const { procedures: declared, code } = decodeBundleRecord(bytes);
      const bundle = { procedures: declared, bytes: code.byteLength };
      procedures.#addBundle(fromNameKey(storeKey), bundle);
    });
    const aliases = { from: ALIASES_FROM, to: ALIASES_TO };
    await loadRecords(store, aliases, (storeKey, bytes) => {
      procedures.#setAlias(fromNameKey(storeKey), decodeAliasRecord(bytes));
    });
    const apNames = { from: AP_NAMES_FROM, to: AP_NAMES_TO };
    await loadRecords(store, apNames, (storeKey) => {
      procedures.#apNames.add(fromNameKey(storeKey));
    });
    return procedures;
  }

  /** In the order of their names and aliases. */
  states(): AliasState[] {
    const states = [...this.#aliases].map(([reference, versions]) => {
      const [name, alias] = splitReference(reference);
      const { mode = 'cp', trigger = null } = this.#declared(versions[0]?.hash ?? '', name) ?? {};
      const shown = versions.map(({ hash, sinceMs }) => ({ hash, sinceMs }));
      return { name, alias, mode, trigger, versions: shown };
    });
    return states.sort((a, b) => {
      if (a.name === b.name) return a.alias < b.alias ? -1 : 1;
      return a.name < b.name ? -1 : 1;
    });
  }

  /** Those that the default alias stands for now: others are there to be tried. */
  triggers(): TriggerState[] {
    return [...this.#aliases].flatMap(([reference, versions]) => {
      const [name, alias] = splitReference(reference);
      const hash = versions[0]?.hash ?? '';
      const prefix = this.#prefixOf(hash, name);
      if (prefix === null || alias !== DEFAULT_ALIAS) return [];
      return [{ name, prefix, hash, sinceRevision: beginningOf(versions) }];
    });
  }

  /**
   * What a reference stands for now: `transfer@prod`, or `transfer@` and the hash of the code, or the beginning of it.
   * `null`: nothing.
   */
  resolve(reference: string): ResolvedProcedure | null {
    const [name, alias] = splitReference(reference);
    const hash = this.#aliases.get(`${name}@${alias}`)?.[0]?.hash ?? this.#hashFrom(alias);
    const mode = hash === null ? null : this.#modeOf(hash, name);
    return hash === null || mode === null ? null : { name, mode, hash };
  }

  /** Has what is called ever stood for code of mode `ap`, as far back as there was code when {@link noteApPasts} looked? */
  hasApPast(reference: string): boolean {
    const [name] = splitReference(reference);
    return this.#apNames.has(name) || this.#isFullOfApNames;
  }

  /** The code as it was deployed, UTF-8; `null`: it is not there. Between log entries only. */
  code(hash: string): Uint8Array | null {
    const bytes = this.#bundles.has(hash) ? this.#store.get(toBundleKey(hash)) : undefined;
    return bytes === undefined ? null : decodeBundleRecord(bytes).code;
  }

  /** @throws Refusal `PROCEDURES_TOO_MANY`, `PROCEDURE_NOT_FOUND`, `CONDITION_FAILED` */
  write(operation: ProcedureOperation, now: Since): void {
    switch (operation.type) {
      case 'deploy':
        this.#deploy(operation, now);
        break;
      case 'alias-set':
        this.#move(operation, now);
        break;
      default:
        this.#remove(operation);
    }
  }

  #deploy({ hash, code, alias, procedures }: DeployOperation, now: Since): void {
    const references = procedures.map(({ name }) => `${name}@${alias}`);
    this.#checkRoom(hash, code.byteLength, references);
    if (!this.#bundles.has(hash)) {
      this.#addBundle(hash, { procedures, bytes: code.byteLength });
      const record = encodeBundleRecord({ procedures, code, deployedMs: now.sinceMs });
      this.#stage(toBundleKey(hash), record);
    }
    if (now.version >= AP_PASTS) this.#noteAp(procedures);
    for (const reference of references) this.#point(reference, hash, now);
  }

  #checkRoom(hash: string, bytes: number, references: readonly string[]): void {
    const { bundlesMax, bundlesBytesMax, aliasesMax } = this.#bounds;
    const isNew = !this.#bundles.has(hash);
    const added = new Set(references.filter((reference) => !this.#aliases.has(reference))).size;
    if (isNew && this.#bundles.size >= bundlesMax) throw tooMany('bundles', bundlesMax);
    if (isNew && this.#bytes + bytes > bundlesBytesMax) {
      throw tooMany('bundlesBytes', bundlesBytesMax);
    }
    if (this.#aliases.size + added > aliasesMax) throw tooMany('aliases', aliasesMax);
  }

  #move({ name, alias, hash, expected }: AliasSetOperation, now: Since): void {
    const reference = `${name}@${alias}`;
    if (this.#modeOf(hash, name) === null) throw notFound(`${name}@${hash.slice(0, 12)}`);
    const current = this.#aliases.get(reference)?.[0]?.hash ?? null;
    if (expected !== null && current !== expected) {
      throw new Refusal(
        'CONDITION_FAILED',
        `${reference} stands for ${current?.slice(0, 12) ?? 'nothing'} and not for ${expected.slice(0, 12)}`,
        { current },
      );
    }
    if (current === null) this.#checkRoom(hash, 0, [reference]);
    this.#point(reference, hash, now);
  }

  #remove({ name, alias }: AliasRemoveOperation): void {
    const reference = `${name}@${alias}`;
    if (!this.#aliases.has(reference)) throw notFound(reference);
    this.#setAlias(reference, null);
    this.#stage(toAliasKey(reference), null);
  }

  /** What it stood for before stays, to go back to; one code is there once. */
  #point(reference: string, hash: string, now: Since): void {
    const before = this.#aliases.get(reference) ?? [];
    if (before[0]?.hash === hash) return;
    const { sinceMs, sinceRevision, version } = now;
    const isOlder = version < TRIGGER_BEGINNINGS;
    const triggerSince = isOlder ? null : this.#triggerSince(reference, hash, sinceRevision);
    const older = before.filter((one) => one.hash !== hash);
    const versions = [{ hash, sinceMs, sinceRevision, triggerSince }, ...older].slice(
      0,
      this.#bounds.aliasHistoryMax,
    );
    this.#setAlias(reference, versions);
    this.#stage(toAliasKey(reference), encodeAliasRecord(versions));
  }

  /** The first entry since {@link AP_PASTS} is applied: all code that is there may have been called. */
  noteApPasts(): void {
    // Their order in memory is not the same at all replicas, and there may be too many.
    const bundles = [...this.#bundles].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, { procedures }] of bundles) this.#noteAp(procedures);
  }

  #noteAp(procedures: readonly DeclaredProcedure[]): void {
    for (const { name, mode } of procedures) {
      if (mode !== 'ap' || this.#apNames.has(name) || this.#isFullOfApNames) continue;
      this.#apNames.add(name);
      this.#stage(toApNameKey(name), AP_NAME_MARK);
    }
  }

  get #isFullOfApNames(): boolean {
    return this.#apNames.size >= AP_NAMES_PER_ALIAS * this.#bounds.aliasesMax;
  }

  /** What the one before has not been called with is for the next one, if that is for the same writes. */
  #triggerSince(reference: string, hash: string, sinceRevision: number): number {
    const [name] = splitReference(reference);
    const before = this.#aliases.get(reference) ?? [];
    const prefix = this.#prefixOf(before[0]?.hash ?? '', name);
    const goesOn = prefix !== null && prefix === this.#prefixOf(hash, name);
    return goesOn ? beginningOf(before) : sinceRevision;
  }

  #setAlias(reference: string, versions: readonly AliasVersion[] | null): void {
    const before = this.#aliases.get(reference) ?? [];
    if (versions === null) this.#aliases.delete(reference);
    else this.#aliases.set(reference, versions);
    for (const { hash } of versions ?? []) this.#use(hash, 1);
    for (const { hash } of before) this.#use(hash, -1);
  }

  #use(hash: string, by: number): void {
    const uses = (this.#uses.get(hash) ?? 0) + by;
    if (uses > 0) {
      this.#uses.set(hash, uses);
      return;
    }
    this.#uses.delete(hash);
    this.#bytes -= this.#bundles.get(hash)?.bytes ?? 0;
    this.#bundles.delete(hash);
    this.#stage(toBundleKey(hash), null);
  }

  /** Somebody needs the code for as long as it is not {@link release}d, whatever becomes of the aliases. */
  retain(hash: string): void {
    this.#use(hash, 1);
  }

  release(hash: string): void {
    this.#use(hash, -1);
  }

  #addBundle(hash: string, bundle: Bundle): void {
    this.#bundles.set(hash, bundle);
    this.#bytes += bundle.bytes;
  }

  #modeOf(hash: string, name: string): Mode | null {
    return this.#declared(hash, name)?.mode ?? null;
  }

  #prefixOf(hash: string, name: string): string | null {
    return this.#declared(hash, name)?.trigger ?? null;
  }

  #declared(hash: string, name: string): DeclaredProcedure | undefined {
    return this.#bundles.get(hash)?.procedures.find((one) => one.name === name);
  }

  #hashFrom(prefix: string): string | null {
    if (!HASH_PREFIX.test(prefix)) return null;
    const found = [...this.#bundles.keys()].filter((hash) => hash.startsWith(prefix));
    return found.length === 1 ? (found[0] ?? null) : null;
  }

  #stage(key: Uint8Array, value: Uint8Array | null): void {
    this.#staged.set(toMapKey(key), { key, value });
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    if (this.#staged.size === 0) return;
    for (const write of this.#staged.values()) writes.push(write);
    this.#staged.clear();
  }
}

/** Of the present one, as a trigger. */
function beginningOf(versions: readonly AliasVersion[]): number {
  return versions[0]?.triggerSince ?? versions.at(-1)?.sinceRevision ?? 0;
}

/** The name, and the alias that is meant when none is given. */
export function splitReference(reference: string): readonly [name: string, alias: string] {
  const at = reference.indexOf('@');
  if (at < 0) return [reference, DEFAULT_ALIAS];
  return [reference.slice(0, at), reference.slice(at + 1)];
}

export const DEFAULT_ALIAS = 'prod';

function tooMany(what: string, limit: number): Refusal {
  return new Refusal(
    'PROCEDURES_TOO_MANY',
    `the limit of procedures is ${limit} (${what}Max): remove what nobody calls`,
    { limit },
  );
}

function notFound(reference: string): Refusal {
  return new Refusal('PROCEDURE_NOT_FOUND', `there is no procedure ${reference}`, {
    procedure: reference,
  });
}
