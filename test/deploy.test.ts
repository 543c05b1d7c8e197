/** The files in deploy/ start what there is: each command that they run has the flags that it is given. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { root, run } from './packed.ts';

const folder = join(root, 'deploy');
const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const flagsOf = new Map<string, Set<string>>();

beforeAll(async () => {
  for (const verb of ['coordinator', 'worker', 'status']) {
    const { stdout } = await run(process.execPath, [join(root, 'dist/cli/bin.js'), verb, '--help'], root);
    flagsOf.set(verb, new Set(stdout.match(/--[a-z-]+/g)));
  }
});

/** Each verb with the flags that follow it, up to the next verb. */
function commandsIn(text: string): { verb: string; flags: string[] }[] {
  return [
    ...text.matchAll(/(?:shoal |- |\[)(coordinator|worker|status)\b([\s\S]*?)(?=\b(?:shoal|image|ports|depends_on|env|Restart)\b|$)/g),
  ].map(([, verb, rest]) => ({
    verb: verb!,
    flags:
      rest!
        .split('\n')
        .filter((line) => !line.trim().startsWith('#'))
        .join('\n')
        .match(/--[a-z-]+/g) ?? [],
  }));
}

describe('deploy', () => {
  test.each(files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)))('%s', (file) => {
    const commands = commandsIn(readFileSync(join(folder, file), 'utf8'));
    if (file !== 'Dockerfile') expect(commands.some(({ flags }) => flags.length > 0)).toBe(true);
    for (const { verb, flags } of commands) for (const flag of flags) expect(flagsOf.get(verb), `${file}: ${verb} ${flag}`).toContain(flag);
  });

  test('an image is built from what its Dockerfile needs, without what a machine has gathered', () => {
    const [everything, ...needed] = readFileSync(join(root, '.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(everything).toBe('*');
    const { files: packed } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    const sources = packed.filter((name) => !/^!?dist/.test(name));
    for (const name of ['package.json', 'package-lock.json', 'src', 'scripts', 'tsconfig.build.json', ...sources])
      expect(needed).toContain(`!${name}`);
    for (const line of needed) expect(existsSync(join(root, line.slice(1))), line).toBe(true);
  });

  test('a Kubernetes worker has as many threads as cores', () => {
    const kubernetes = readFileSync(join(folder, 'kubernetes/shoal.yaml'), 'utf8');
    expect(/kind: Deployment[\s\S]*limits: { cpu: "(\d+)"/.exec(kubernetes)?.[1]).toBe(/--threads=(\d+)/.exec(kubernetes)?.[1]);
  });

  test('grace periods are longer than the drain timeout', () => {
    const drainSeconds = 25;
    const texts = ['compose.yaml', 'systemd/shoal-worker.service', 'kubernetes/shoal.yaml'].map((file) =>
      readFileSync(join(folder, file), 'utf8'),
    );
    const [compose, systemd, kubernetes] = texts as [string, string, string];
    expect(Number(/worker:[\s\S]*stop_grace_period: (\d+)s/.exec(compose)?.[1])).toBeGreaterThan(drainSeconds);
    expect(Number(/TimeoutStopSec=(\d+)/.exec(systemd)?.[1])).toBeGreaterThan(drainSeconds);
    expect(Number(/kind: Deployment[\s\S]*terminationGracePeriodSeconds: (\d+)/.exec(kubernetes)?.[1])).toBeGreaterThan(drainSeconds);
  });
});
