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
}

const FORMAT = 1;

export function encodeBundleRecord({ procedures, code, deployedMs }: BundleRecord): Buffer {
  const declared = procedures.flatMap(({ name, mode }) => [name, mode]);
  return packToKeep([FORMAT, deployedMs, declared, code]);
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeBundleRecord(bytes: Uint8Array): BundleRecord {
  return orCorrupt('bundle', () => {
    const [format, deployedMs, declared, code] = check.tuple(unpack(bytes), 'bundle', 4);
    if (format !== FORMAT) throw corrupt(`a bundle of format ${String(format)}`);
    const texts = check.list(declared, 'procedures').map((v) => check.text(v, 'procedure'));
    const procedures: DeclaredProcedure[] = [];
    for (let i = 0; i + 1 < texts.length; i += 2) {
      procedures.push({ name: texts[i] as string, mode: texts[i + 1] as Mode });
    }
    return {
      deployedMs: check.count(deployedMs, 'deployedMs'),
      procedures,
      code: check.bytes(code, 'code'),
    };
  });
}

/** @param versions the present one first */
export function encodeAliasRecord(versions: readonly AliasVersion[]): Buffer {
  return packToKeep([FORMAT, versions.flatMap(({ hash, sinceMs }) => [hash, sinceMs])]);
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeAliasRecord(bytes: Uint8Array): readonly AliasVersion[] {
  return orCorrupt('alias', () => {
    const [format, flat] = check.tuple(unpack(bytes), 'alias', 2);
    if (format !== FORMAT) throw corrupt(`an alias of format ${String(format)}`);
    const fields = check.list(flat, 'versions');
    const versions: AliasVersion[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const hash = check.text(fields[i], 'hash');
      versions.push({ hash, sinceMs: check.count(fields[i + 1], 'sinceMs') });
    }
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
