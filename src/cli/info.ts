import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from './command.js';
import { EXIT } from './exit-codes.js';
import { printFacts } from './facts.js';
import { jsonBytes } from './printable.js';
import { formatCount } from './progress.js';
import { settingsFacts } from './settings.js';
import { bytesText } from './snapshot/bytes-text.js';

export function infoCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'info',
    summary: 'Show the store as a whole: revisions, sizes, settings',
    examples: ['balsa info', 'balsa info -o json           with the namespaces, and who answered'],
  });
  return onRun(command, runtime, async (context) => {
    const { output, signal } = context;
    const info = await context.withClient((client) => client.info({ signal }));
    if (output.format === 'json') {
      const namespaces = info.namespaces.map(({ prefix, ...rest }) => ({
        ...rest,
        ...jsonBytes('prefix', Buffer.from(prefix, 'hex')),
      }));
      await output.json({ ...info, namespaces });
      return EXIT.done;
    }
    const isTable = output.format === 'table';
    const number = (value: number): string => (isTable ? formatCount(value) : String(value));
    const size = (value: number): string => (isTable ? bytesText(value) : String(value));
    await printFacts(output, [
      ['revision', number(info.revision)],
      ['compactedRevision', number(info.compactedRevision)],
      ['sweptRevision', number(info.sweptRevision)],
      ['spaceBytes', size(info.spaceBytes)],
      [
        'spaceAlarm',
        isTable ? (info.spaceAlarm ? 'puts are refused' : 'no') : String(info.spaceAlarm),
      ],
      ['stateBytes', size(info.stateBytes)],
      ['logBytes', size(info.logBytes)],
      ['leases', number(info.leases)],
      ['namespaces', number(info.namespaces.length)],
      ...settingsFacts(output, info.settings),
    ]);
    return EXIT.done;
  });
}
