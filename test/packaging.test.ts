/**
 * The tarball: what is in it, and that it works where nothing else is installed. Every entry is imported once without
 * the optional peers and once with them, because a root that quietly imports a peer breaks only other people.
 */
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installPacked, type Packed, root, run } from './packed.ts';

let packed: Packed;
beforeAll(async () => {
  packed = await installPacked();
}, 180_000);
afterAll(() => packed?.remove());

const importEntry = (specifier: string) =>
  run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}')`], packed.project);

describe('the package', () => {
  it('holds the build, the licence and the two pages, and no tests', () => {
    const strangers = packed.files.filter((path) => !/^dist\/.*\.(js|d\.ts|js\.map)$/.test(path));
    expect(strangers.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']);
    expect(packed.files.filter((path) => /\.(test|suite|double)\.|fixtures/.test(path))).toEqual([]);
  });

  it('needs no install script', async () => {
    const manifest = JSON.parse(await readFile(join(packed.project, 'node_modules/shoal/package.json'), 'utf8'));
    expect(Object.keys(manifest.scripts)).not.toEqual(expect.arrayContaining(['preinstall', 'install', 'postinstall']));
  });

  it('imports from its root without any optional peer', async () => {
    expect(await importEntry('shoal')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('names the missing peer of an entry that needs one', async () => {
    const { status, stderr } = await importEntry('shoal/codecs/protobuf');
    expect(status).toBe(1);
    expect(stderr).toContain('npm install @bufbuild/protobuf');
  });

  it.each([
    ['--broker', 'redis://127.0.0.1:1', '@redis/client'],
    ['--broker', 'amqp://127.0.0.1:1', 'amqplib'],
    ['--broker', 'nats://127.0.0.1:1', '@nats-io/transport-node @nats-io/jetstream'],
    ['--broker', 'kafka://127.0.0.1:1', 'kafkajs@2.2'],
    ['--journal', 'redis://127.0.0.1:1', '@redis/client'],
    ['--journal', 'postgres://127.0.0.1:1/x', 'pg'],
    ['--journal', 'mongodb://127.0.0.1:1/x', 'mongodb'],
    ['--journal', 'cassandra://127.0.0.1:1/x', 'cassandra-driver'],
    ['--election', 'redis://127.0.0.1:1', '@redis/client'],
    ['--election', 'postgres://127.0.0.1:1/x', 'pg'],
    ['--election', 'zookeeper://127.0.0.1:1/x', 'node-zookeeper-client'],
  ])('names the missing peer of %s %s', async (option, url, names) => {
    const journal = option === '--journal' ? [] : ['--journal', 'memory:'];
    const args = ['coordinator', '--listen', '127.0.0.1:0', ...journal, option, url];
    const { status, stdout, stderr } = await run(join(packed.project, 'node_modules/.bin/shoal'), args, packed.project);
    expect({ status, stdout }, stderr).toEqual({ status: 2, stdout: '' });
    const [first, second] = stderr.split('\n');
    expect(first).toMatch(/^error\[SH\d+\] .* needs the package /);
    expect(second).toBe(`  try    npm install ${names}`);
  });

  it('imports every entry once the peers are there', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');
    await withPeers(Object.keys(manifest.peerDependencies), async () => {
      for (const entry of entries)
        expect(await importEntry(`shoal${entry.slice(1)}`), entry).toEqual({ status: 0, stdout: '', stderr: '' });
    });
  });

  it('shows its help as `shoal`', async () => {
    const { status, stdout } = await run(join(packed.project, 'node_modules/.bin/shoal'), ['--help'], packed.project);
    expect(status).toBe(0);
    expect(stdout).toContain('shoal run');
  });

  it('runs a program', async () => {
    await cp(join(root, 'test/fixtures/squares.ts'), join(packed.project, 'squares.ts'));
    const shoal = join(packed.project, 'node_modules/.bin/shoal');
    const ran = await run(shoal, ['run', '--progress', 'none', 'squares.ts', '1000'], packed.project);
    expect(ran, ran.stderr).toMatchObject({ status: 0, stdout: '332833500\n' });
  });

  it('has types that a strict program compiles against, its own declarations checked too', async () => {
    await cp(join(root, 'test/fixtures/squares.ts'), join(packed.project, 'squares.ts'));
    const compilerOptions = {
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, noEmit: true },
      ...{
        target: 'ES2022',
        lib: ['ES2023', 'ESNext.Disposable'],
        module: 'NodeNext',
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
      },
    };
    await writeFile(join(packed.project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['squares.ts'] }));
    const compiled = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc')], packed.project);
    expect(compiled).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});

/** Lends the project our own copies of the peers. */
async function withPeers(names: readonly string[], body: () => Promise<void>): Promise<void> {
  const links = names.map((name) => join(packed.project, 'node_modules', name));
  try {
    for (const [index, link] of links.entries()) {
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(root, 'node_modules', names[index]!), link, 'dir');
    }
    await body();
  } finally {
    for (const link of links) await rm(link, { force: true });
  }
}
