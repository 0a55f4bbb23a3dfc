-- CreateTable
CREATE TABLE "PipelineProfile" (
    "pipelineId" TEXT NOT NULL,
    "connectionProfileId" TEXT NOT NULL,

    CONSTRAINT "PipelineProfile_pkey" PRIMARY KEY ("pipelineId","connectionProfileId")
);

-- CreateIndex
CREATE INDEX "PipelineProfile_connectionProfileId_idx" ON "PipelineProfile"("connectionProfileId");

-- AddForeignKey
ALTER TABLE "PipelineProfile" ADD CONSTRAINT "PipelineProfile_pipelineId_fkey" FOREIGN KEY ("pipelineId") REFERENCES "Pipeline"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PipelineProfile" ADD CONSTRAINT "PipelineProfile_connectionProfileId_fkey" FOREIGN KEY ("connectionProfileId") REFERENCES "ConnectionProfile"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
