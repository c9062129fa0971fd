// dockerode, as programs use it: a container's life with its streams, from its image to its end.
// `tests/clients/docker/node.rs` runs it, with DOCKER_HOST set.

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { PassThrough } = require('node:stream');
const { buffer, text } = require('node:stream/consumers');
const Docker = require('dockerode');

const docker = new Docker();
const NAME = 'of-dockerode';

// Builds, in the classic protocol and in BuildKit's, of files that come with the request.
async function build(version) {
  const context = fs.mkdtempSync(path.join(os.tmpdir(), 'dockerode-'));
  try {
    fs.writeFileSync(path.join(context, 'Dockerfile'), 'FROM busybox\nARG WORD\nCOPY word /\nRUN echo $WORD >> /word\nEXPOSE 80\n');
    fs.writeFileSync(path.join(context, 'word'), 'a file\n');
    const options = { t: `${NAME}:${version}`, version, buildargs: JSON.stringify({ WORD: 'an argument' }) };
    const stream = await docker.buildImage({ context, src: ['Dockerfile', 'word'] }, options);
    const told = await new Promise((resolve, reject) =>
      docker.modem.followProgress(stream, (error, told) => (error ? reject(error) : resolve(told))));
    assert(told.length > 0);
  } finally {
    fs.rmSync(context, { recursive: true });
  }
  const image = await docker.getImage(`${NAME}:${version}`).inspect();
  assert.deepStrictEqual(image.Config.ExposedPorts, { '80/tcp': {} });
}

// Both streams of a container or exec, taken apart.
async function apart(stream, end) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  const [output, errors] = [text(out), text(err)];
  await end(stream);
  out.end();
  err.end();
  return [await output, await errors];
}

async function attached(container) {
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  await container.start();
  stream.write('to it\n');
  const [output, errors] = await apart(stream, async (stream) => {
    stream.end();
    await once(stream, 'end');
  });
  assert.deepStrictEqual([output, errors], ['got to it\n', 'told\n']);
  assert.deepStrictEqual((await container.wait()).StatusCode, 3);
  const logs = await container.logs({ stdout: true, stderr: true });
  assert(logs.includes('got to it'));
}

async function execs(container) {
  const plain = await container.exec({ Cmd: ['sh', '-c', 'cat /word; echo no >&2; exit 5'], AttachStdout: true, AttachStderr: true });
  const stream = await plain.start({ hijack: true });
  assert.deepStrictEqual(await apart(stream, (stream) => once(stream, 'end')), ['a file\nan argument\n', 'no\n']);
  assert.strictEqual((await plain.inspect()).ExitCode, 5);

  const terminal = await container.exec({ Cmd: ['sh'], AttachStdin: true, AttachStdout: true, Tty: true });
  const screen = await terminal.start({ hijack: true, stdin: true, Tty: true });
  await terminal.resize({ h: 30, w: 100 });
  screen.write('stty size; exit 4\n');
  assert.match(await text(screen), /30 100/);
  assert.strictEqual((await terminal.inspect()).ExitCode, 4);
}

async function archives(container) {
  const archive = await container.getArchive({ path: '/word' });
  const bytes = await buffer(archive);
  assert(bytes.includes('an argument'));
  await container.putArchive(bytes, { path: '/tmp' });
  const changes = await container.changes();
  assert(changes.some((change) => change.Path === '/tmp/word' && change.Kind === 1), JSON.stringify(changes));
  const again = await buffer(await container.getArchive({ path: '/tmp/word' }));
  assert(again.includes('an argument'));
}

// Lines come while they are written, and the stream ends with the container.
async function followed(container) {
  const stream = await container.logs({ follow: true, stdout: true, stderr: true, tail: 0 });
  const said = await container.exec({ Cmd: ['sh', '-c', 'echo later > /proc/1/fd/1'] });
  await said.start({ Detach: true });
  const [output] = await apart(stream, async (stream) => {
    const ended = once(stream, 'end');
    await once(stream, 'data');
    await container.stop({ t: 0 });
    await ended;
  });
  assert.strictEqual(output, 'later\n');
}

async function main() {
  const events = await docker.getEvents({ filters: { container: [NAME], type: ['container'] } });
  const seen = [];
  const gone = new Promise((resolve) => {
    events.on('data', (lines) => {
      for (const line of lines.toString().trim().split('\n')) {
        seen.push(JSON.parse(line).Action);
        if (seen.includes('destroy')) resolve();
      }
    });
  });
  await build('1');
  await build('2');

  const options = { Image: `${NAME}:2`, name: NAME, OpenStdin: true, StdinOnce: true };
  const first = await docker.createContainer({ ...options, name: `first-${NAME}`, Cmd: ['sh', '-c', 'read word; echo got $word; echo told >&2; exit 3'] });
  assert.strictEqual(String(await first.changes()), 'null');
  await attached(first);
  await first.remove();

  const container = await docker.createContainer({ ...options, Cmd: ['sh', '-c', 'while :; do sleep 1; done'] });
  await container.start();
  assert.deepStrictEqual((await container.inspect()).Config.ExposedPorts, { '80/tcp': {} });
  await execs(container);
  await archives(container);
  const stats = await container.stats({ stream: false });
  assert(stats.pids_stats.current > 0 && stats.memory_stats.usage > 0);
  await container.pause();
  await assert.rejects(container.exec({ Cmd: ['true'] }), (error) =>
    error.statusCode === 409 && error.message.includes(`Container ${container.id} is paused`));
  await container.unpause();
  await followed(container);
  assert.strictEqual((await container.wait()).StatusCode, 137);
  await container.remove();
  await gone;
  events.destroy();
  for (const action of ['create', 'start', 'exec_create: sh', 'pause', 'unpause', 'die', 'stop', 'destroy']) {
    assert(seen.includes(action), `${action} is not among ${seen}`);
  }
  await assert.rejects(container.inspect(), { statusCode: 404 });
  await docker.getImage(`${NAME}:1`).remove();
  await docker.getImage(`${NAME}:2`).remove();
}

// Streams that both ways were open on hold the program.
main().then(() => process.exit());
