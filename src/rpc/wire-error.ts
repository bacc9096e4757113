import { asBalsaError, BalsaError, isErrorCode } from '../base/errors.js';
import type { WireError } from './protocol.js';

/** Errors as they cross the wire, and back. An unknown code of a newer replica becomes `INTERNAL`. */
export function toWireError(error: unknown): WireError {
  const known = asBalsaError(error);
  const details = Object.keys(known.details).length === 0 ? null : JSON.stringify(known.details);
  return { code: known.code, message: known.message, outcome: known.outcome ?? null, details };
}

export function fromWireError(wire: WireError): BalsaError {
  const code = isErrorCode(wire.code) ? wire.code : 'INTERNAL';
  return new BalsaError(code, wire.message, {
    outcome: wire.outcome ?? undefined,
    details: wire.details === null ? {} : parseDetails(wire.details),
  });
}

function parseDetails(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', 'error details are not JSON', { cause });
  }
}
