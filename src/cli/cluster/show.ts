import type { Command } from 'commander';
import { unreachable } from '../../base/assert.js';
import type { AdminResult, MemberStatus, MembersStatus } from '../../rpc/protocol.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { type Column, tableLines } from '../table.js';

export function membersCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'members',
    summary: 'Show who votes, who learns, and the index for --expect-index',
    examples: [
      'balsa cluster members',
      'balsa cluster members -o json | jq .index    for --expect-index of a change',
    ],
  });
  return onRun(command, runtime, runMembers);
}

async function runMembers(context: Context): Promise<ExitCode> {
  const { signal } = context;
  await printMembers(
    context,
    await context.withClient((client) => client.cluster.members({ signal })),
  );
  return EXIT.done;
}

const COLUMNS: readonly Column[] = [
  { title: 'MEMBER' },
  { title: 'ROLE' },
  { title: 'ADDRESS' },
  { title: 'INCARNATION' },
  { title: 'NOTE' },
];

/** The members as data; how the configuration stands is told to people. */
export async function printMembers(
  { output }: Context,
  { members, leader }: AdminResult,
): Promise<void> {
  if (output.format === 'json') return await output.json({ leader, ...members });
  const rows = [...members.members]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((member) => toCells(member, leader));
  if (output.format === 'raw') {
    const titles = COLUMNS.map((column) => column.title);
    for (const cells of [titles, ...rows]) await output.line(cells.join('\t'));
    return;
  }
  const [titles = '', ...lines] = tableLines(COLUMNS, rows, null);
  await output.line(output.style('bold', titles));
  for (const line of lines) await output.line(line);
  output.say(output.styleTalk('dim', configurationText(members)));
}

function toCells(member: MemberStatus, leader: string | null): string[] {
  const isLeader = member.name === leader && member.role !== 'learner';
  return [
    member.name,
    roleText(member),
    member.address === '' ? '-' : member.address,
    member.incarnation,
    isLeader ? 'leads' : plansText(member),
  ];
}

/** What a member is, in words; the same in every command. */
export function roleText({ role }: MemberStatus): string {
  switch (role) {
    case 'voter':
    case 'learner':
      return role;
    case 'outgoing':
      return 'voter, leaving';
    default:
      return unreachable(role);
  }
}

/** What will become of a learner by itself. */
export function plansText({ name, promote, replaces }: MemberStatus): string {
  if (!promote) return '';
  if (replaces === null) return 'gets a vote when it has caught up';
  // A name has no dots; what is behind one is the incarnation.
  const [replaced = ''] = replaces.split('.');
  const whom = replaced === name ? 'its former disk' : replaced;
  return `gets a vote when it has caught up, in the place of ${whom}`;
}

export function configurationText({ index, committed, joint }: MembersStatus): string {
  if (joint) return `configuration ${index}: the voters are being changed`;
  return `configuration ${index}${committed ? '' : ', not committed yet'}`;
}
