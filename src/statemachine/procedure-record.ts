import { check, packToKeep, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import type { DeclaredProcedure, Mode } from '../base/operation.js';
import { corrupt } from './corrupt.js';

/** Code that was deployed. */
export interface BundleRecord {
  readonly procedures: readonly DeclaredProcedure[];
  readonly code: Uint8Array;
  /** Log time. */
  readonly deployedMs: number;
}

/** What an alias has stood for, from when on. */
export interface AliasVersion {
  readonly hash: string;
  readonly sinceMs: number;
  /** Revision of the store then. */
  readonly sinceRevision: number;
  /**
   * As a trigger it is for writes behind this revision: of the first in a row with the same prefix. `null`: it was put here by
   * an entry from before {@link TRIGGER_BEGINNINGS}.
   */
  readonly triggerSince: number | null;
}

const FORMAT = 1;

export function encodeBundleRecord({ procedures, code, deployedMs }: BundleRecord): Buffer {
  const declared = procedures.map(({ name, mode, trigger }) => [name, mode, trigger]);
  return packToKeep([FORMAT, deployedMs, declared, code]);
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeBundleRecord(bytes: Uint8Array): BundleRecord {
  return orCorrupt('bundle', () => {
    const [format, deployedMs, declared, code] = check.tuple(unpack(bytes), 'bundle', 4);
    if (format !== FORMAT) throw corrupt(`a bundle of format ${String(format)}`);
    const procedures = check.list(declared, 'procedures').map((value): DeclaredProcedure => {
      const [name, mode, trigger] = check.tuple(value, 'procedure', 3);
      return {
        name: check.text(name, 'procedure'),
        mode: check.text(mode, 'mode') as Mode,
        trigger: check.optional(trigger, (v) => check.text(v, 'trigger')),
      };
    });
    return {
      deployedMs: check.count(deployedMs, 'deployedMs'),
      procedures,
      code: check.bytes(code, 'code'),
    };
  });
}

/** @param versions the present one first */
export function encodeAliasRecord(versions: readonly AliasVersion[]): Buffer {
  return packToKeep([
    FORMAT,
    versions.map(({ hash, sinceMs, sinceRevision, triggerSince }) => [
      ...[hash, sinceMs, sinceRevision],
      // What older entries have made stays as they made it, byte for byte.
      ...(triggerSince === null ? [] : [triggerSince]),
    ]),
  ]);
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeAliasRecord(bytes: Uint8Array): readonly AliasVersion[] {
  return orCorrupt('alias', () => {
    const [format, flat] = check.tuple(unpack(bytes), 'alias', 2);
    if (format !== FORMAT) throw corrupt(`an alias of format ${String(format)}`);
    const versions = check.list(flat, 'versions').map((value): AliasVersion => {
      const [hash, sinceMs, sinceRevision, triggerSince] = check.tuple(value, 'version', 3);
      return {
        hash: check.text(hash, 'hash'),
        sinceMs: check.count(sinceMs, 'sinceMs'),
        sinceRevision: check.count(sinceRevision, 'sinceRevision'),
        triggerSince: check.optional(triggerSince, (v) => check.count(v, 'triggerSince')),
      };
    });
    if (versions.length === 0) throw corrupt('an alias that stands for nothing');
    return versions;
  });
}

/** What a record of the store holds, or that it is damaged. */
export function orCorrupt<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof BalsaError) || cause.code !== 'FRAME_INVALID') throw cause;
    throw corrupt(`a damaged record of ${what}: ${cause.message}`);
  }
}
