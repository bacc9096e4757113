import type { Command } from 'commander';
import type { BackupReport } from '../../server/inspect-backup.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { printFacts } from '../facts.js';
import { formatCount, Progress } from '../progress.js';
import { bytesText } from './bytes-text.js';

export function inspectCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'inspect',
    summary: 'Verify every checksum of a backup and print what is in it; exit code 1 when damaged',
    examples: ['balsa snapshot inspect balsa.snap', 'balsa snapshot inspect balsa.snap -o json'],
  }).argument('<file>', 'the backup');
  return onRun(command, runtime, runInspect);
}

async function runInspect(
  context: Context,
  [file = '']: readonly (string | undefined)[],
): Promise<ExitCode> {
  const { inspectBackup } = await import('../../server/inspect-backup.js');
  const { io, output, signal } = context;
  const progress = new Progress(io, 'bytes', null);
  const report = await inspectBackup(file, (bytes) => {
    signal.throwIfAborted();
    progress.draw(() => `${bytesText(bytes)} verified`);
  }).finally(() => progress.clear());
  await printReport(context, report);
  output.say(output.styleTalk('green', 'every checksum is right'));
  return EXIT.done;
}

async function printReport({ output }: Context, report: BackupReport): Promise<void> {
  const { header, voters, learners, chunks, keys, records, bytes } = report;
  const { id, format, clusterName, clusterId, position, revision, configurationIndex } = header;
  const created = new Date(header.createdMs).toISOString();
  const stateHash = header.stateHash.toString(16).padStart(8, '0');
  if (output.format === 'json') {
    const about = { id, format, created, cluster: clusterName, clusterId };
    const members = { voters, learners, configurationIndex };
    const content = { revision, stateHash, keys, records, bytes, chunks };
    await output.json({ ...about, ...position, ...content, ...members });
    return;
  }
  const number = output.format === 'table' ? formatCount : String;
  await printFacts(output, [
    ['cluster', `${clusterName} (${clusterId})`],
    ['created', created],
    ['revision', number(revision)],
    ['log entry', `${number(position.index)} of term ${position.term}`],
    ['keys', number(keys)],
    ['records', `${number(records)} (keys, their history, sessions)`],
    ['bytes', `${number(bytes)} in ${number(chunks)} chunks`],
    ['state hash', stateHash],
    ['voters', voters.length === 0 ? 'as formed' : voters.join(', ')],
    ...(learners.length === 0 ? [] : [['learners', learners.join(', ')] as const]),
    ['snapshot', `${id}, format ${format}`],
  ]);
}
