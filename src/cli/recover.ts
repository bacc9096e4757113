import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { OtherMember, RecoverOptions, RecoveryPlan } from '../server/recover.js';
import { askReplica } from './ask-replica.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { printFacts } from './facts.js';
import { needed, parseMembers } from './flags.js';
import { formatCount } from './progress.js';

interface RecoverFlags {
  readonly data?: string;
  readonly members?: Readonly<Record<string, string>>;
  readonly acceptDataLoss?: boolean;
}

export function recoverCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'recover',
    summary:
      'When most voters are lost for good: make one survivor the only voter of a new cluster',
    details: `
Without --accept-data-loss nothing is done: it says what would be lost, and ends with exit code 2.`,
    examples: [
      'balsa recover --data balsa-data/n1                       says what would be lost; changes nothing',
      'balsa recover --data balsa-data/n1 --accept-data-loss    does it; then start n1, and the others',
      'balsa recover --data d --members n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001',
    ],
  })
    .option('--data <folder>', 'data folder of the survivor, which must not run (needed)')
    .option(
      '--members <name=host:port,...>',
      'where the members are, if the folder does not know it (any more)',
      parseMembers,
    )
    .option('--accept-data-loss', 'go on, although writes that were acknowledged may be lost');
  return onRun<RecoverFlags>(command, runtime, (context, _args, flags) =>
    runRecover(context, flags),
  );
}

/** A replica that lives, on a machine that is busy, may take long to say so; and here it must not be taken for dead. */
const ASK_MS = 10_000;

/** What is said where nobody has answered. */
const SILENT: ReadonlySet<string> = new Set(['UNREACHABLE', 'TIMEOUT', 'CANCELLED']);

/** It has refused the question: so it lives. */
function hasSpoken(error: unknown): boolean {
  for (let cause = error; cause instanceof BalsaError; cause = cause.cause) {
    if (!SILENT.has(cause.code)) return true;
  }
  return false;
}

function livesOn(address: string, error: BalsaError): BalsaError {
  return new BalsaError(
    'QUORUM_ALIVE',
    `what is at ${address} lives, and does not say how it is (${error.message}): whether the cluster works is not known.` +
      ' Ask again when it is less busy, or stop it if it is lost',
    { cause: error },
  );
}

async function runRecover(context: Context, flags: RecoverFlags): Promise<ExitCode> {
  const { planRecovery, recover } = await import('../server/recover.js');
  const { output } = context;
  const options: RecoverOptions = {
    path: resolve(needed('data', flags.data)),
    members: flags.members ?? {},
    ask: async (address) => {
      const answer = await askReplica(context, address, { leastMs: ASK_MS });
      if (answer.status === null && hasSpoken(answer.error)) throw livesOn(address, answer.error);
      return answer.status;
    },
  };
  if (flags.acceptDataLoss !== true) {
    const plan = await planRecovery(options);
    await printPlan(context, plan, null);
    sayRisk(context, plan);
    output.say('nothing was changed; to go on, the same command with --accept-data-loss');
    return EXIT.usage;
  }
  const plan = await recover({ ...options, atMs: Date.now() });
  await printPlan(context, plan, plan.clusterIdAfter);
  sayNextSteps(context, plan);
  return EXIT.done;
}

async function printPlan(
  { output }: Context,
  plan: RecoveryPlan,
  clusterIdAfter: string | null,
): Promise<void> {
  const { cluster, clusterId, name, incarnation, configuration, last } = plan;
  const { commitIndex, appliedIndex, revision, others } = plan;
  if (output.format === 'json') {
    const { index, voters, learners } = configuration;
    const members = others.map(({ status, ...other }) => ({ ...other, ...lifeJson(status) }));
    const log = { last, commitIndex, appliedIndex, revision };
    const about = { recovered: clusterIdAfter !== null, cluster, clusterId, clusterIdAfter };
    const now = { configuration: { index, voters, learners }, others: members };
    return await output.json({ ...about, name, incarnation, ...log, ...now });
  }
  await printFacts(output, [
    ['survivor', `${name} (${incarnation}) of cluster ${cluster}`],
    ['cluster id', clusterIdAfter === null ? clusterId : `${clusterIdAfter}, before ${clusterId}`],
    ['members', `of configuration ${configuration.index}: ${configuration.voters.join(', ')}`],
    ['last entry', `${formatCount(last.index)} of term ${last.term}`],
    ['surely decided', `through entry ${formatCount(commitIndex)}`],
    ['applied', `through entry ${formatCount(appliedIndex)}, revision ${formatCount(revision)}`],
    ...others.map((other) => [other.name, lifeText(other)] as const),
  ]);
}

function lifeJson(status: OtherMember['status']): Record<string, unknown> {
  if (status === null) return { answers: false };
  const { term, lastIndex, commitIndex } = status;
  return { answers: true, term, lastIndex, commitIndex };
}

function lifeText({ address, votes, status }: OtherMember): string {
  const what = votes ? 'voter' : 'learner';
  if (status === null) return `${what} at ${address}: does not answer`;
  return `${what} at ${address}: answers, its log ends at ${formatCount(status.lastIndex)}`;
}

function sayRisk({ output }: Context, plan: RecoveryPlan): void {
  const { last, commitIndex, others } = plan;
  const undecided = last.index - commitIndex;
  output.say('');
  output.say(output.styleTalk('yellow', 'What may be lost'));
  output.say(
    `- every write behind entry ${formatCount(last.index)}: the lost members may have acknowledged some` +
      ' that this one never had, and nothing here tells how many',
  );
  if (undecided > 0) {
    const entries = undecided === 1 ? '1 entry' : `${formatCount(undecided)} entries`;
    output.say(`- the other way round: ${entries} that may never have been decided will be`);
  }
  output.say('- the lost members cannot come back with their data, only as new ones');
  const { voters, votersOutgoing, learners } = plan.configuration;
  const self = `${plan.name}.${plan.incarnation}`;
  if (![...voters, ...votersOutgoing, ...learners].includes(self)) {
    const text = `- ${plan.name} is none of the members any more, by its own log: its data is old`;
    output.say(output.styleTalk('red', text));
  }
  for (const { name, status } of others) {
    // What it has may be of an old term, and never decided: the longer log is then the one that has less.
    if (status === null || status.lastIndex <= last.index || status.term < last.term) continue;
    const found = `${name} answers, and its log ends at ${formatCount(status.lastIndex)}`;
    output.say(
      output.styleTalk(
        'red',
        `- ${found}: it has more than this one; stop it and recover it instead`,
      ),
    );
  }
}

function sayNextSteps({ output }: Context, plan: RecoveryPlan): void {
  output.say(`${plan.name} is the only voter of a new cluster now. What is left to do:`);
  output.say(`  1. balsa start --name ${plan.name} …, with --members that name ${plan.name} alone`);
  output.say('  2. balsa snapshot save, to have a backup of what is there');
  output.say('  3. each other member: an empty --data, balsa start --join, balsa cluster add');
}
