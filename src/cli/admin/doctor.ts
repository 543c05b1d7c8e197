/** `shoal doctor`: looks at this machine, the way to the coordinator, and where it keeps things; says what to mend. */
import { type Command, Option } from 'commander';
import { printableLine } from '../../lib/printable.ts';
import { type BrokerFlags, brokerOptions } from '../flags.ts';
import type { AdminFlags } from './cluster.ts';
import { Output } from './output.ts';

export interface Finding {
  check: string;
  /** warn: it works, but not as well as it could; fail: it does not. */
  status: 'ok' | 'warn' | 'fail';
  what: string;
  try?: string;
}

type DoctorFlags = AdminFlags & BrokerFlags & { journal?: string; broker: string };

export function defineDoctor(command: Command): void {
  command
    .summary('versions, ports, clock, tokens, journal and memory: what is wrong and how to mend it')
    .addOption(new Option('--journal <where>', 'look at this journal; default: .shoal if it is there'))
    .addOption(
      new Option('--broker <url>', 'look at this broker, too: a server as in redis://HOST:PORT').default('ws:').env('SHOAL_BROKER'),
    )
    .action(doctor);
  for (const option of brokerOptions()) command.addOption(option);
}

/** Needs nobody to be there: that nobody is there is something to say. */
async function doctor(flags: DoctorFlags): Promise<void> {
  const [{ examineMachine }, { examineCluster }, { examineBroker }, { examineJournal }] = await Promise.all([
    import('./doctor-machine.ts'),
    import('./doctor-cluster.ts'),
    import('./doctor-broker.ts'),
    import('./doctor-journal.ts'),
  ]);
  const findings = [
    ...examineMachine(),
    ...(await examineCluster(flags)),
    ...(await examineBroker(flags)),
    ...(await examineJournal(flags.journal, flags.cluster)),
  ];
  const isOk = findings.every(({ status }) => status !== 'fail');
  const output = new Output(flags);
  output.give({ ok: isOk, checks: findings }, () => show(findings, output, flags.quiet === true));
  if (!isOk) process.exitCode = 1;
}

function show(findings: readonly Finding[], output: Output, isQuiet: boolean): void {
  const marks = { ok: output.paint.green('ok  '), warn: output.paint.yellow('warn'), fail: output.paint.red('FAIL') };
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, status, what, try: advice } of findings) {
    if (isQuiet && status === 'ok') continue;
    output.line(`${marks[status]}  ${check.padEnd(width)}  ${printableLine(what)}`);
    output.advice(6 + width + 2, advice);
  }
}
