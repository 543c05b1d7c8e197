/** Both ends of the Node versions that we promise: the suite runs on one, and this runs the build on the other. */
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { node24 } from '../scripts/node24.mjs';
import { root, run } from './packed.ts';

let node: string | undefined;
let whyNot = '';
beforeAll(async () => {
  try {
    node = await node24();
  } catch (error) {
    whyNot = `no Node 24 here: ${error instanceof Error ? error.message : String(error)}`;
  }
}, 180_000);

function nodeOrSkip(context: TestContext): string {
  return node ?? context.skip(whyNot);
}

describe('under Node 24', () => {
  it('the package imports', async (context) => {
    const code = `const { task } = await import('shoal'); console.log(process.version, typeof task)`;
    const ran = await run(nodeOrSkip(context), ['--input-type=module', '-e', code], root);
    expect(ran, ran.stderr).toMatchObject({ status: 0, stdout: expect.stringMatching(/^v24\.\S+ function\n$/) });
  });

  it('shoal run runs a program on threads', async (context) => {
    const args = ['dist/cli/bin.js', 'run', '--progress', 'none', '--threads', '2', 'test/fixtures/squares.ts', '1000'];
    const ran = await run(nodeOrSkip(context), args, root);
    expect(ran, ran.stderr).toMatchObject({ status: 0, stdout: '332833500\n' });
  });
});
