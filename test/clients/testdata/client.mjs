// The AWS SDK for JavaScript on its defaults. One verb a run; see script_test.go.

import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import {
  DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client, paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

const client = new S3Client({ endpoint: process.env.ENDPOINT, forcePathStyle: true });
const Bucket = process.env.BUCKET;

const verbs = {
  async put(file, Key) {
    const { size } = await stat(file);
    await client.send(new PutObjectCommand({ Bucket, Key, Body: createReadStream(file), ContentLength: size }));
  },

  async upload(file, Key) {
    await new Upload({ client, params: { Bucket, Key, Body: createReadStream(file) } }).done();
  },

  async get(Key, file) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
    await pipeline(Body, createWriteStream(file));
  },

  async span(Key, first, last) {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, Range: `bytes=${first}-${last}` }));
    await pipeline(Body, process.stdout);
  },

  async list(Prefix) {
    for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix })) {
      for (const { Size, Key } of page.Contents ?? []) console.log(`${Size} ${Key}`);
    }
  },

  async size(Key) {
    console.log((await client.send(new HeadObjectCommand({ Bucket, Key }))).ContentLength);
  },

  async remove(Key) {
    await client.send(new DeleteObjectCommand({ Bucket, Key }));
  },
};

const [verb, ...args] = process.argv.slice(2);
await verbs[verb](...args);
