import { assert } from '../base/assert.js';
import { BalsaError, type ErrorCode, isErrorCode } from '../base/errors.js';
import type { WriteResult } from '../base/operation.js';

/** Why an operation is not applied: the same at every replica, so it is an answer and no failure. */
export class Refusal extends BalsaError {
  constructor(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(code, message, { outcome: 'not-applied', details });
  }

  /** The one that has become this result: see {@link toResult}. */
  static of({ code, message, details }: WriteResult & { readonly type: 'error' }): Refusal {
    assert(isErrorCode(code), 'a refusal has a code that is known');
    return new Refusal(code, message, details ?? {});
  }

  toResult(): WriteResult {
    const { code, message, details } = this;
    return {
      type: 'error',
      code,
      message,
      details: Object.keys(details).length === 0 ? null : details,
    };
  }
}
