import { parentPort, workerData } from 'node:worker_threads';
import { assert, unreachable } from '../../base/assert.js';
import { systemClock } from '../../base/clock.js';
import type { Mode } from '../../base/operation.js';
import type { Bundle, Execution, Source } from '../execution.js';
import {
  type CallOfBundle,
  type FromWorker,
  type Question,
  type ToWorker,
  toPlain,
  unpackFound,
  unpackScan,
} from './messages.js';
import { AnswerReader } from './shared-answer.js';
import { Vm } from './vm.js';

/** A thread of its own for procedures, whose code never runs beside that of the replica. */

assert(parentPort !== null, 'this file is the code of a worker thread');
const port = parentPort;
const answers = new AnswerReader(workerData as SharedArrayBuffer);
const bundles = new Map<string, Bundle>();
const vms = new Map<string, Vm>();

const say = (message: FromWorker): void => port.postMessage(message);

const ask = (question: Question): Buffer =>
  answers.read(
    () => say({ type: 'ask', question }),
    () => say({ type: 'go-on' }),
  );

/** The store, which is in the other thread. */
const source: Source = {
  get: (key) => unpackFound(ask({ type: 'get', key })),
  scan: (query) => unpackScan(ask({ type: 'scan', ...query })),
};

async function run({ hash, ...call }: CallOfBundle, mode: Mode): Promise<Execution> {
  const bundle = bundles.get(hash);
  assert(bundle !== undefined, 'a worker has the code that it is asked to run');
  const vm = vms.get(hash) ?? (await Vm.make(bundle, call.limits, systemClock));
  vms.set(hash, vm);
  say({ type: 'begun' });
  const execution = vm.run({ ...call, bundle }, mode, source);
  if (vm.isSpent) vms.delete(hash);
  return execution;
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'load':
      bundles.set(message.bundle.hash, message.bundle);
      break;
    case 'drop':
      bundles.delete(message.hash);
      vms.delete(message.hash);
      break;
    case 'run':
      // What fails here is no matter of the procedure: it ends the thread, and is told there.
      void run(message.call, message.mode).then((execution) =>
        say({ type: 'ran', execution: toPlain(execution) }),
      );
      break;
    default:
      unreachable(message);
  }
});

say({ type: 'ready' });
