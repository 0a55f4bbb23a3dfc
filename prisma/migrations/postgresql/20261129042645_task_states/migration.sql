-- CreateTable
CREATE TABLE "TaskState" (
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "shape" TEXT NOT NULL,
    "discardFor" TEXT,
    "sealed" TEXT,
    "control" BYTEA NOT NULL,
    "lastSegment" INTEGER NOT NULL,
    "commits" BIGINT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "checkpoints" TEXT NOT NULL DEFAULT '[]',
    "updatedAt" BIGINT NOT NULL,

    CONSTRAINT "TaskState_pkey" PRIMARY KEY ("jobId","operatorId")
);

-- CreateTable
CREATE TABLE "StatePart" (
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "segment" INTEGER NOT NULL,
    "part" INTEGER NOT NULL,
    "parts" INTEGER NOT NULL,
    "sealed" TEXT,
    "data" BYTEA NOT NULL,

    CONSTRAINT "StatePart_pkey" PRIMARY KEY ("jobId","operatorId","segment","part")
);

-- AddForeignKey
ALTER TABLE "TaskState" ADD CONSTRAINT "TaskState_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "StatePart" ADD CONSTRAINT "StatePart_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
