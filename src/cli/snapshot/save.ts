import type { Command } from 'commander';
import { formatDuration } from '../../base/duration.js';
import { BalsaError } from '../../base/errors.js';
import type { BackupWriter } from '../../server/backup-file.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { formatCount, Progress } from '../progress.js';
import { byteRateText, bytesText } from './bytes-text.js';

interface SaveFlags {
  readonly force?: boolean;
}

export function saveCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'save',
    summary: 'Save the state of a running replica to a file',
    examples: [
      'balsa snapshot save balsa.snap',
      'balsa snapshot save balsa.snap --endpoints 10.0.0.3:7001    from this replica',
      'balsa snapshot save "backup/$(date +%F).snap" -o json',
    ],
  })
    .argument('<file>', 'where to; it has this name only when it is whole')
    .option('--force', 'replace the file if there is one');
  return onRun<SaveFlags>(command, runtime, runSave);
}

async function runSave(
  context: Context,
  [file = '']: readonly (string | undefined)[],
  flags: SaveFlags,
): Promise<ExitCode> {
  const { BackupWriter } = await import('../../server/backup-file.js');
  const overwrite = flags.force === true;
  const writer = await BackupWriter.create(file, overwrite);
  const startMs = context.io.nowMs();
  try {
    await receive(context, writer);
    await writer.finish(overwrite);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  await tell(context, { file, writer, elapsedMs: context.io.nowMs() - startMs });
  return EXIT.done;
}

/** From the first endpoint that answers: any replica will do, and the leader has enough to do. */
async function receive(context: Context, writer: BackupWriter): Promise<void> {
  const { io, signal } = context;
  const progress = new Progress(io, 'bytes', null);
  try {
    await context.withClient(
      async (client) => {
        for await (const part of client.snapshot({ signal })) {
          await writer.write(part);
          progress.draw((elapsedMs) =>
            [
              bytesText(writer.bytes),
              byteRateText(writer.bytes, elapsedMs),
              formatDuration(elapsedMs),
            ].join(', '),
          );
        }
      },
      { followLeader: false },
    );
  } finally {
    progress.clear();
  }
}

async function tell(
  { output }: Context,
  saved: { readonly file: string; readonly writer: BackupWriter; readonly elapsedMs: number },
): Promise<void> {
  const { file, writer, elapsedMs } = saved;
  const { header, sums, bytes } = writer;
  if (header === null) throw new BalsaError('SNAPSHOT_CORRUPT', 'the snapshot has no header');
  const { clusterName, revision, position } = header;
  output.say(
    `saved ${clusterName} at revision ${formatCount(revision)} (log entry ${formatCount(position.index)}):` +
      ` ${bytesText(bytes)} in ${formatDuration(elapsedMs)} (${byteRateText(bytes, elapsedMs)})`,
  );
  if (output.format !== 'json') return await output.line(file);
  const { index, term } = position;
  const { keys: records } = sums;
  const seconds = Math.round(elapsedMs) / 1000;
  await output.json({ file, bytes, records, cluster: clusterName, revision, index, term, seconds });
}
