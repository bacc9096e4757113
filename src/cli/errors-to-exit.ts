import { asBalsaError, type BalsaError, type ErrorCode } from '../base/errors.js';
import { EXIT, EXIT_OF_CODE, type ExitCode } from './exit-codes.js';
import type { CliIo } from './io.js';
import { type Format, paint } from './output.js';
import { oneLine, printable } from './printable.js';

/** The exit code of the error that ended a command. */
export function exitOf(error: BalsaError, isInterrupted: boolean): ExitCode {
  if (isInterrupted) return EXIT.interrupted;
  if (error.outcome === 'unknown') return EXIT.outcomeUnknown;
  return EXIT_OF_CODE[error.code];
}

/** What to try, by code; `null` where the message says all that there is to say. docs/errors.md has it, held by a test. */
export const HINTS: { readonly [C in ErrorCode]: string | null } = {
  NOT_LEADER: 'name all members with --endpoints, so that the leader is found',
  NO_QUORUM: 'balsa status shows who is missing',
  REPLICA_BEHIND: 'the same command again in a moment; balsa status shows which replicas lag',
  UNREACHABLE: 'is it running? start it with balsa start, or name others with --endpoints',
  TIMEOUT: 'balsa status shows whether there is a leader; --timeout allows more time',
  OVERLOADED: 'the same command again in a moment',
  SHUTTING_DOWN: 'name all members with --endpoints, so that another one is found',
  CANCELLED: null,
  CLIENT_CLOSED: null,
  SESSION_EXPIRED: 'the same command again',
  SESSION_GAP: 'the same command again',
  INVALID_ARGUMENT: 'balsa COMMAND --help shows how it is used',
  KEY_EMPTY: null,
  KEY_TOO_LARGE: 'a shorter key, or a higher keyBytesMax in the limits of the replicas',
  VALUE_TOO_LARGE: 'split the value, or set a higher valueBytesMax in the limits of the replicas',
  BATCH_TOO_LARGE: null,
  COMPACTED: null,
  COMPACTION_HELD:
    'balsa proc logs shows why a trigger does not get on, balsa job list which jobs run',
  SESSION_BEHIND:
    'another replica may be further, or try again; --consistency any takes what is there',
  STALE_BOUND_EXCEEDED:
    'the replica is cut off; a larger bound or --consistency any is still served',
  KEY_NOT_FOUND: null,
  KEY_DUPLICATE: null,
  CONDITION_FAILED: null,
  TXN_CONFLICT: 'others write the same keys; try again',
  TXN_TOO_LARGE: 'split the transaction',
  RANGE_TOO_LARGE: 'take a smaller range',
  LEASE_NOT_FOUND: 'balsa lease list shows those that there are',
  LEASE_EXISTS: 'leave the id out: a free one is chosen',
  LEASE_FULL: 'use several leases',
  LEASES_TOO_MANY: 'hang several keys on one lease',
  LOCK_LOST: null,
  NAMESPACE_CONFLICT: 'choose a prefix that no other namespace has a part of',
  NAMESPACE_NOT_FOUND: null,
  NAMESPACES_TOO_MANY: null,
  QUOTA_EXCEEDED: 'delete keys of the namespace, or raise its quota',
  NO_SPACE: 'delete keys, then compact the history (balsa compact), or raise spaceQuotaBytes',
  WATCH_LAGGING: null,
  UPGRADE_PENDING: 'balsa status -o json shows the version of each member: upgrade the older ones',
  FUTURE_REVISION: 'the same command again in a moment',
  VALUE_NOT_DECODABLE: null,
  PROCEDURE_NOT_FOUND: 'balsa proc list shows those that there are',
  PROCEDURES_TOO_MANY:
    'balsa proc remove <name> of what nobody calls, in all aliases; make code smaller, or begin the history of a name anew: docs/procedures.md, Room for code',
  CALL_EXPIRED: 'read what it would have written; if that is not there, the same call again',
  CALL_KEY_REUSED: 'another --key: this one stands for another call',
  CALL_KEYS_FULL: null,
  AP_QUEUE_FULL:
    'bring the others back, so that what waits can be merged, or raise apQueueBytesMax',
  MERGED_KEYS_FULL: 'bring a member that is away back, or remove it: balsa cluster remove',
  KEY_RESERVED: null,
  PROCEDURE_FAILED: null,
  PROCEDURE_ABORTED: null,
  PROCEDURE_LIMIT: null,
  PROCEDURE_READ_ONLY: null,
  CELL_FULL: null,
  JOB_NOT_FOUND: 'balsa job list shows those that there are',
  JOB_EXISTS: 'another --id, or none: one is made then',
  JOBS_TOO_MANY: 'balsa job remove <id> of those that have ended',
  JOB_LIMIT: null,
  JOB_STATE: 'balsa job status <id> shows how it is',
  JOB_FAILED: 'balsa job retry <id> goes on with it, when what was wrong is put right',
  JOB_CANCELLED: null,
  TASK_FENCED: null,
  TASK_POISONED: null,
  WORKER_LOST: null,
  UPLOAD_INCOMPLETE: 'the same command again',
  FRAME_INVALID: 'is it a Balsa replica that listens there?',
  PROTOCOL_VERSION: 'the balsa command and the replicas must be of fitting versions',
  CLUSTER_MISMATCH: 'check --endpoints: not all of them belong to one cluster',
  MEMBER_MISMATCH: 'check that --members names the same addresses on every member',
  CONFIG_INVALID: 'balsa start --help lists the flags with their defaults',
  PORT_IN_USE: 'another --listen, or stop the process that has the port',
  ADDRESS_UNUSABLE: '--listen with an address of this machine, like 0.0.0.0:7001',
  DATA_FOLDER_IN_USE: 'another --data, or stop the replica that uses the folder',
  DATA_FOLDER_MISMATCH: 'check --name, --cluster and --data: the folder is of another replica',
  DATA_FOLDER_UNUSABLE: 'check --data and the rights of the folder',
  DISK_FULL: 'free some space, then the same again; nothing acknowledged is lost',
  DISK_FAILED: 'check the disk, then start the replica again; the others go on meanwhile',
  CONFIGURATION_CONFLICT: 'balsa cluster members shows them as they are now',
  CHANGE_PENDING: 'the same command again in a moment',
  QUORUM_AT_RISK: 'bring the missing members back first; balsa status shows who they are',
  NOT_CAUGHT_UP: 'the same command again when balsa status shows that it has caught up',
  TRANSFER_FAILED: 'balsa status shows who is behind; name another member',
  MEMBER_REMOVED:
    'to let the machine join again: an empty --data, balsa start --join, balsa cluster add',
  QUORUM_ALIVE: 'balsa cluster replace puts a new member in the place of a lost one',
  STATE_DIVERGED:
    'keep the folder for analysis; balsa start --reseed gets the state from the others',
  SNAPSHOT_CORRUPT: 'balsa snapshot inspect shows what is wrong; take another copy',
  WAL_CORRUPT: 'balsa start --reseed moves it aside, and gets it anew from the other members',
  DELTAS_CORRUPT:
    'put the folder ap back as it was; balsa start --reseed gives up what is in it alone',
  STATE_CORRUPT: 'balsa start --reseed moves it aside, and gets it anew from the other members',
  VERSION_UNSUPPORTED: 'the version of balsa that wrote it, or a newer one',
  FILE_UNREADABLE: 'check the path and the rights of the file',
  FILE_INVALID: 'balsa COMMAND --help shows the form that is expected',
  INVARIANT: 'please report it, with the log; the data on disk is as it was',
  INTERNAL: 'BALSA_DEBUG=1 shows where it comes from; please report it',
};

export interface ErrorReport {
  readonly error: unknown;
  /** Name of the command, for the hint that points at its help. */
  readonly command: string;
  /** Of its flags those that say what else could be tried, and in which form errors are told. */
  readonly flags?: ReportFlags;
}

export interface ReportFlags {
  readonly output?: Format;
  /** One replica alone was asked. */
  readonly stay?: boolean;
  /** The revision that was to be read. */
  readonly rev?: number;
}

/** Tells on stderr what went wrong and what to try; for `-o json` as an object. No stack, unless BALSA_DEBUG=1 asks for it. */
export function reportError(io: CliIo, report: ErrorReport): ExitCode {
  const { error, command } = report;
  const known = asBalsaError(error);
  const exit = exitOf(known, io.interrupted.aborted);
  const say = (line: string) => void io.stderr.write(`${line}\n`);
  const hint = exit === EXIT.interrupted ? null : hintOf(known, report);
  // That somebody pressed Ctrl-C is no error, unless it leaves something open.
  const isError = exit !== EXIT.interrupted || known.outcome === 'unknown';
  if (report.flags?.output === 'json' && isError) {
    say(JSON.stringify(errorJson(known, hint?.replace('COMMAND', command) ?? null)));
    if (io.env.BALSA_DEBUG === '1') say(stackOf(error));
    return exit;
  }
  const style = (name: 'red' | 'dim', text: string) => paint(name, text, io.stderr, io.env);
  if (exit !== EXIT.interrupted) {
    say(`${style('red', `error ${known.code}`)}: ${messageOf(known)}`);
    for (const frame of framesOf(known)) say(style('dim', frame));
  }
  if (known.outcome === 'unknown') {
    say(
      'The outcome is unknown: the write may have been applied, or may yet be. Read to find out.',
    );
  } else if (exit === EXIT.interrupted) {
    say('interrupted');
  }
  if (hint !== null) say(style('dim', `try: ${oneLine(hint.replace('COMMAND', command))}`));
  if (io.env.BALSA_DEBUG === '1') say(printable(Buffer.from(stackOf(error)), 'lines'));
  return exit;
}

function errorJson(error: BalsaError, hint: string | null): Record<string, unknown> {
  const { code, message, outcome = null, retryable, details } = error;
  const { hint: _, ...facts } = details;
  return { code, message, outcome, retryable, details: facts, hint };
}

/** What procedures and tasks say of their ends: somebody else has written it, and it is one line, whatever it is. */
const SAID_BY_CODE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['PROCEDURE_ABORTED', 'PROCEDURE_FAILED', 'PROCEDURE_NOT_FOUND'] as const),
  ...(['VALUE_NOT_DECODABLE', 'JOB_FAILED', 'TASK_POISONED'] as const),
]);

/** Of its own lines those that go on with the one before begin with blanks; all that a schema of somebody says does not. */
const LINE_OF_OTHERS = /\n(?! {2})/g;

/** It must not drive the terminal of whoever reads it, nor look like another message. */
function messageOf({ code, message }: BalsaError): string {
  if (SAID_BY_CODE.has(code)) return oneLine(message);
  const text = code === 'INVALID_ARGUMENT' ? message.replace(LINE_OF_OTHERS, '\\n') : message;
  return printable(Buffer.from(text), 'lines');
}

/** One line of a stack: what else is there, code has put there itself. */
const FRAME = /^ {4}at .*\(procedures\.js:/;

/** Where in its own code a procedure failed. */
function framesOf({ code, details }: BalsaError): readonly string[] {
  if (code !== 'PROCEDURE_FAILED' || typeof details.stack !== 'string') return [];
  const frames = details.stack.split('\n').filter((line) => FRAME.test(line));
  return frames.map((line) => oneLine(line));
}

/** Whoever made the error may know better what to try than its code tells. */
function hintOf(error: BalsaError, { command, flags = {} }: ErrorReport): string | null {
  const { code, details, outcome } = error;
  const { stay = false, rev } = flags;
  if (typeof details.hint === 'string') return details.hint;
  if (stay && code === 'NOT_LEADER') return 'the same without --stay: the leader is found then';
  if (command === 'del' && (code === 'RANGE_TOO_LARGE' || code === 'TXN_TOO_LARGE')) {
    return '--in-parts deletes up to 10,000 keys at a time, not all in one moment';
  }
  // Errors of writes alone have an outcome, and without a majority nothing is written.
  if (code === 'NO_QUORUM' && outcome === undefined) {
    const isOfPast = rev !== undefined && ['get', 'range', 'count'].includes(command);
    const level = isOfPast ? `at:${rev}` : 'any';
    return `${HINTS.NO_QUORUM}; --consistency ${level} reads without a majority`;
  }
  return HINTS[code];
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`;
  const { message, stack = message } = error;
  return `${stack.replace(message, () => oneLine(message))}${cause}`;
}
