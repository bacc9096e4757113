import { resolve } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { formatDuration } from '../../base/duration.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { needed } from '../flags.js';
import { formatCount, Progress } from '../progress.js';
import { byteRateText, bytesText } from './bytes-text.js';

/** That of `balsa start`. */
const DEFAULT_CLUSTER = 'balsa';

interface RestoreFlags {
  readonly data?: string;
  readonly name?: string;
  readonly cluster: string;
}

export function restoreCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'restore',
    summary: 'Make the data folder of a new cluster, with one voter, from a backup',
    examples: [
      'balsa snapshot restore balsa.snap --data balsa-data/n1 --name n1',
      'balsa snapshot restore balsa.snap --data d --name n1 --cluster trial    of another name',
    ],
  })
    .argument('<file>', 'the backup')
    .option('--data <folder>', 'where to; it must be empty, or not there (needed)')
    .option('--name <name>', 'name of the one member (needed)', nameParser(NAME, NAME_FORM))
    .option(
      '--cluster <name>',
      'name of the cluster',
      nameParser(CLUSTER, CLUSTER_FORM),
      DEFAULT_CLUSTER,
    );
  return onRun<RestoreFlags>(command, runtime, runRestore);
}

const NAME = /^[a-z0-9-]{1,32}$/;
const NAME_FORM = '1 to 32 characters of a-z, 0-9 and -';
const CLUSTER = /^[A-Za-z0-9._-]{1,64}$/;
const CLUSTER_FORM = '1 to 64 letters, digits, dots, dashes, underscores';

function nameParser(form: RegExp, words: string): (text: string) => string {
  return (text) => {
    if (form.test(text)) return text;
    throw new InvalidArgumentError(`It must be ${words}.`);
  };
}

async function runRestore(
  context: Context,
  [file = '']: readonly (string | undefined)[],
  flags: RestoreFlags,
): Promise<ExitCode> {
  const { cluster } = flags;
  const data = needed('data', flags.data);
  const name = needed('name', flags.name);
  const { restore } = await import('../../server/restore.js');
  const { io, output, signal } = context;
  const path = resolve(data);
  const progress = new Progress(io, 'bytes', null);
  const startMs = io.nowMs();
  const onRead = (bytes: number): void => {
    signal.throwIfAborted();
    progress.draw((elapsedMs) =>
      [bytesText(bytes), byteRateText(bytes, elapsedMs), formatDuration(elapsedMs)].join(', '),
    );
  };
  const restored = await restore({ file, path, name, cluster, onRead }).finally(() =>
    progress.clear(),
  );
  const { header, clusterId, incarnation } = restored;
  const { revision, position } = header;
  const took = formatDuration(io.nowMs() - startMs);
  output.say(
    `restored ${header.clusterName} at revision ${formatCount(revision)} in ${took}, as cluster ${cluster} (${clusterId})`,
  );
  const clusterFlag = cluster === DEFAULT_CLUSTER ? '' : ` --cluster ${cluster}`;
  output.say(
    `next: balsa start --name ${name} --members ${name}=HOST:PORT --data ${data}${clusterFlag}`,
  );
  if (output.format !== 'json') await output.line(path);
  else
    await output.json({ data: path, name, cluster, clusterId, incarnation, revision, ...position });
  return EXIT.done;
}
