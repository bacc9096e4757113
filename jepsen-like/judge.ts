import { runJudge } from './run-judge.js';

process.exitCode = await runJudge(process.argv.slice(2), {
  print: (text) => process.stdout.write(`${text}\n`),
  talk: (text) => process.stderr.write(`${text}\n`),
});
