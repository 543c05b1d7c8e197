/** `shoal coordinator`: a coordinator in this process, until a signal ends it. */
import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { type PolicyName, policyNames } from '../core/policies.ts';
import { shownJournal } from '../journal-of.ts';
import { ShoalError } from '../lib/errors.ts';
import { type BrokerFlags, brokerOptions, clusterSecretOf } from './flags.ts';
import { type LogOptions, log } from './log.ts';
import { outlivePipes } from './pipes.ts';
import { report } from './report.ts';
import { untilSignal } from './signals.ts';

interface CoordinatorFlags extends LogOptions, BrokerFlags {
  listen: string;
  advertise?: string;
  election?: string;
  broker: string;
  journal: string;
  policy: PolicyName;
  stealing: 'on' | 'off';
  tlsCert?: string;
  tlsKey?: string;
  insecurePlaintext?: boolean;
  tokenFile?: string;
}

export function defineCoordinator(command: Command): void {
  command
    .summary('start a coordinator')
    .description('Owns jobs: schedules them onto workers, retries, keeps their state in a journal and their results for clients.')
    .addOption(new Option('--listen <host:port>', 'where clients and workers reach it').default('127.0.0.1:7690').env('SHOAL_LISTEN'))
    .addOption(
      new Option('--journal <where>', 'where jobs live: file:DIR, memory: to forget them, or a server as in postgres://HOST/DATABASE')
        .default('file:.shoal')
        .env('SHOAL_JOURNAL'),
    )
    .addOption(
      new Option(
        '--election <url>',
        'who leads of several: file:DIR, a server as in redis://HOST:PORT, or none:; default: file: beside a file journal, else none:',
      ).env('SHOAL_ELECTION'),
    )
    .addOption(
      new Option('--advertise <url>', 'how clients and workers reach it, where that is not as it listens: http://HOST:PORT').env(
        'SHOAL_ADVERTISE',
      ),
    )
    .addOption(
      new Option('--broker <url>', 'what carries messages to workers: its own port (ws:), or a server as in redis://HOST:PORT')
        .default('ws:')
        .env('SHOAL_BROKER'),
    )
    .addOption(
      new Option('--policy <name>', 'which of the workers that want tasks is served first')
        .choices(policyNames)
        .default('adaptive')
        .env('SHOAL_POLICY'),
    )
    .addOption(
      new Option('--stealing <on|off>', 'what waits on a worker behind long tasks goes to workers with a free slot')
        .choices(['on', 'off'])
        .default('on')
        .env('SHOAL_STEALING'),
    )
    .addOption(
      new Option('--token-file <file>', 'tokens, made at the first start; default: tokens in the journal’s folder').env('SHOAL_TOKEN_FILE'),
    )
    .addOption(new Option('--tls-cert <file>', 'certificate, PEM').env('SHOAL_TLS_CERT'))
    .addOption(new Option('--tls-key <file>', 'its key, PEM').env('SHOAL_TLS_KEY'))
    .addOption(
      new Option('--insecure-plaintext', 'let other machines in without TLS, on a network that is yours alone').env(
        'SHOAL_INSECURE_PLAINTEXT',
      ),
    )
    .action(runCoordinator);
  for (const option of brokerOptions()) command.addOption(option);
}

async function runCoordinator(flags: CoordinatorFlags): Promise<void> {
  const { tlsCert, tlsKey } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new ShoalError('SH1311', '--tls-cert and --tls-key go together', { hint: 'give both, or none' });
  }
  outlivePipes();
  const clusterSecret = clusterSecretOf(flags);
  const say = (event: string, line: string, data: object = {}): void => log(flags, event, line, data);
  const stopping = untilSignal();
  let isStarted = false;
  const { startCoordinator } = await import('../start-coordinator.ts');
  const server = await startCoordinator({
    listen: flags.listen,
    broker: flags.broker,
    journal: flags.journal,
    cluster: flags.cluster,
    policy: flags.policy,
    stealing: flags.stealing === 'on',
    ...(clusterSecret !== undefined && { clusterSecret }),
    ...(flags.election !== undefined && { election: flags.election }),
    ...(flags.advertise !== undefined && { advertise: flags.advertise }),
    ...(flags.tokenFile !== undefined && { tokenFile: flags.tokenFile }),
    ...(tlsCert !== undefined && tlsKey !== undefined && { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    insecurePlaintext: flags.insecurePlaintext === true,
    onLog: (line) => say('warning', line),
    onStanding: (standing) => {
      if (isStarted) say(standing, standing === 'leads' ? 'it leads' : 'it leads no more');
    },
    onFailed: (error) => {
      report(error, { json: flags.json === true, color: flags.color });
      process.exit(1);
    },
  });
  const { address, tokenFile, durability, isLeading } = server;
  isStarted = true;
  const started = {
    address,
    tokenFile,
    ...(durability !== undefined && { durability }),
    journal: shownJournal(flags.journal),
    standby: !isLeading,
  };
  say(
    'started',
    `the coordinator of ${flags.cluster} listens on ${address}${isLeading ? '' : ', and stands by: another one leads'}`,
    started,
  );
  if (!flags.json && !flags.quiet) process.stderr.write(welcome(address, tokenFile, flags, durability));
  const signal = await stopping;
  say('stopping', `${signal}: finishing what is being written, then leaving; jobs stay in the journal`);
  await server.stop();
  say('ended', 'stopped');
}

const survives = {
  none: 'jobs end with this process',
  process: 'what is confirmed survives the end of this process, but not a crash of the server that stores it',
  host: 'what is confirmed survives a crash of this process and of this machine',
  replicated: 'what is confirmed survives the loss of a machine',
} as const;

function welcome(address: string, tokenFile: string, flags: CoordinatorFlags, durability: keyof typeof survives | undefined): string {
  const open = flags.insecurePlaintext ? '  WARNING  tokens and data cross the network in the clear (--insecure-plaintext)\n' : '';
  // It listens everywhere; who dials has to say where.
  const reach = address.replace(/\/\/(0\.0\.0\.0|\[::\]):/, `//${hostname()}:`);
  const isOwnPort = flags.broker === 'ws:';
  const where = isOwnPort ? `--address ${reach}` : `--broker ${flags.broker.replace(/\/\/.*@/s, '//***@')}`;
  const lasts = durability === undefined ? '' : `: ${survives[durability]}`;
  return `${open}${isOwnPort ? '' : secrecy(flags)}  journal  ${shownJournal(flags.journal)}${lasts}
  tokens   ${tokenFile}
  next     shoal worker ${where} --allow-bundles
           shoal submit --address ${reach} program.ts
`;
}

/** Whoever may write to the broker may otherwise hand out work, and answer it. */
function secrecy(flags: CoordinatorFlags): string {
  if (clusterSecretOf(flags) !== undefined) return '';
  return '  WARNING  messages are not signed: who may write to the broker may run code on the workers (--cluster-secret-file)\n';
}
