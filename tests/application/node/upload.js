// Uploads a file as tus-js-client does it; says what it saw as JSON.
// node upload.js ENDPOINT FILE NAME; the token is in the environment.
const fs = require('fs')
const tus = require('tus-js-client')

const [endpoint, file, name] = process.argv.slice(2)
const headed = []
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  metadata: { filename: name, filetype: 'application/octet-stream' },
  retryDelays: Array(300).fill(200), // milliseconds
  onAfterResponse(request, response) {
    if (request.getMethod() === 'HEAD') headed.push(response.getStatus())
  },
  onError(error) {
    console.error(String(error))
    process.exitCode = 1
  },
  onSuccess() {
    console.log(JSON.stringify({ url: upload.url, headed }))
  },
})
upload.start()
