import { unreachable } from '../base/assert.js';
import { contentsBytes } from '../base/item-block.js';
import type { KeyValue } from '../base/operation.js';
import type { ClientAnswer } from '../rpc/protocol.js';

/** Bytes of an answer or an item beside its contents. */
const ANSWER_BYTES = 64;
/** A number in a list of them. */
const ID_BYTES = 5;

/** What it takes in a frame and in memory, roughly. */
export function answerBytes(answer: ClientAnswer): number {
  switch (answer.type) {
    case 'error':
      return ANSWER_BYTES + answer.error.message.length + (answer.error.details?.length ?? 0);
    case 'write':
      return ANSWER_BYTES + answer.results.byteLength;
    case 'get':
      return ANSWER_BYTES + contentsBytes(answer.items);
    case 'range':
      return answer.items.reduce((sum, item) => sum + itemBytes(item), ANSWER_BYTES);
    case 'leases':
      return answer.leases.reduce((sum, { keys }) => sum + keysBytes(keys), ANSWER_BYTES);
    case 'store':
    case 'procedures':
      return ANSWER_BYTES + answer.info.length;
    case 'call':
      return ANSWER_BYTES + answer.result.length + logBytes(answer.logs);
    case 'executed':
      return ANSWER_BYTES + answer.record.byteLength + logBytes(answer.logs);
    case 'jobs':
      return ANSWER_BYTES + answer.info.length + answer.bytes.byteLength;
    case 'work':
      return answer.assigned.reduce(
        (sum, { args, checkpoint }) => sum + ANSWER_BYTES + args.length + (checkpoint?.length ?? 0),
        0,
      );
    case 'watch-events':
      return answer.events.reduce((sum, e) => sum + itemBytes(e.item) + itemBytes(e.previous), 0);
    case 'watch-progress':
      return ANSWER_BYTES + ID_BYTES * answer.alsoFor.length;
    case 'watch-created':
    case 'watch-lagging':
      return ANSWER_BYTES;
    case 'status':
      return ANSWER_BYTES + answer.status.length;
    case 'admin':
      return ANSWER_BYTES + answer.result.length;
    default:
      return unreachable(answer);
  }
}

function logBytes(logs: readonly string[]): number {
  return logs.reduce((sum, line) => sum + line.length, 0);
}

function keysBytes(keys: readonly Uint8Array[]): number {
  return keys.reduce((sum, key) => sum + ANSWER_BYTES + key.byteLength, ANSWER_BYTES);
}

function itemBytes(item: KeyValue | null): number {
  return item === null ? 1 : ANSWER_BYTES + item.key.byteLength + item.value.byteLength;
}
