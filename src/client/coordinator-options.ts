/** The options of a coordinator within a program, which are checked before its code is loaded. */
import { flagOption, functionOption, optionError, refuseUnknown, textOption } from './options.ts';
import { refuseInsideTask } from './submission.ts';

const textNames = ['listen', 'advertise', 'broker', 'cluster', 'clusterSecret', 'journal', 'election', 'policy', 'tokenFile'] as const;
const flagNames = ['stealing', 'insecurePlaintext'] as const;
const functionNames = ['onLog', 'onStanding', 'onFailed'] as const;

/** What `startCoordinator` is called with by programs: SH1104 where a worker loads the module, SH1102 for what means nothing. */
export function checkCoordinatorOptions(options: unknown): void {
  const who = 'startCoordinator';
  refuseInsideTask(who, 'coordinators');
  refuseUnknown(who, '', [...textNames, ...flagNames, ...functionNames, 'tls'], options);
  const given = options as Readonly<Record<string, unknown>>;
  for (const name of textNames) textOption(who, name, given[name]);
  for (const name of flagNames) flagOption(who, name, given[name]);
  for (const name of functionNames) functionOption(who, name, given[name]);
  if (given.tls === undefined) return;
  refuseUnknown(who, ' of tls', ['certFile', 'keyFile'], given.tls);
  const { certFile, keyFile } = given.tls as { certFile?: unknown; keyFile?: unknown };
  for (const [name, file] of Object.entries({ certFile, keyFile }))
    if (typeof file !== 'string' || file === '') throw optionError(who, `tls.${name}`, file, 'the path of a file in PEM format');
}
